"""What `kis-bond status` and `top` show of the status topic and of a connector's /status."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from connector.cli.output import cell
from connector.cli.prose import wrapped
from connector.cli.table import Column, lines
from connector.core import seoul_time
from connector.core.record_keys import SLOT
from connector.core.status.rows import is_anyone_there, refused_lists, silent_since, to_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.status import Record

COLUMNS: Final = (
    Column("slot", "whole"),
    Column("state", "whole"),
    Column("owner", "cut"),
    Column("bonds", "whole", right=True),
    Column("pending", "whole", right=True),
    Column("since (KST)", "whole"),
    "why",
)
LATENCY: Final = 0.99  # the share of ticks that are at most so late
MOST: Final = 2**63  # no counter of a connector gets there
LABEL: Final = " " * len("connector  ")  # under which a long line goes on
MOST_PROBLEMS: Final = 20  # of a kind are shown


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer of /status, with the time in seconds at which it came."""

    at: float
    status: Mapping[str, Any]

    def number(self, section: str, name: str) -> int:
        """Return a count of the answer, 0 if it is none."""
        below = self.status.get(section)
        found = below.get(name) if isinstance(below, dict) else None
        return found if _is_count(found) else 0


def as_object(
    records: Mapping[str, Record], control: Mapping[str, bytes], before: Sample | None, sample: Sample | None
) -> dict[str, Any]:
    """Return everything that is known, as --json shows it.

    `ticks_per_second` needs two samples. `p99_seconds` is the bound below which 99 of 100 ticks of
    this run were acknowledged after their receipt.
    """
    now = datetime.now(UTC)
    slots = {int(key.removeprefix(SLOT)): record for key, record in records.items() if _is_slot(key)}
    return {
        "running": is_anyone_there(records, now),
        "slots": [_slot(number, slots[number], now) for number in sorted(slots)],
        "bonds": dict(Counter(row.state for row in to_rows(records, control, now))),
        "refused_lists": refused_lists(records),
        "connector": None if sample is None else _connector(before, sample),
    }


def shown(found: Mapping[str, Any], problem: str | None, width: int, *, folds: bool) -> list[str]:
    """Return the lines for people; `problem` is why no connector answered over HTTP.

    Those that are longer than `width` go on below themselves if it `folds`.
    """
    states = found["bonds"]
    wanted = sum(states.values())
    parts = ", ".join(f"{count:,} {cell(state)}" for state, count in sorted(states.items()))
    text = [
        "A connector is running." if found["running"] else "No connector is running.",
        f"bonds      {wanted:,} wanted" + (f": {parts}" if parts else ": add one with kis-bond subs add ISIN"),
    ]
    if refused := found["refused_lists"]:
        text.append(f"lists      {len(refused):,} refused: kis-bond subs lists says why")
    if (one := found["connector"]) is None:
        text.append(f"figures    none: {cell(problem or 'no connector was asked')}")
    else:
        rate, late = one["ticks_per_second"], one["p99_seconds"]
        text += [
            (
                f"connector  {cell(str(one['name']))}, version {cell(str(one['version']))}, "
                f"{'ready' if one['ready'] else 'not ready'}"
            ),
            (
                f"ticks      {'-' if rate is None else f'{rate:,.1f}'} a second, {one['acknowledged']:,} delivered, "
                f"{one['dead_letters']:,} dead letters"
            ),
            f"delay      {'-' if late is None else f'{late:g} s'} or less for 99 of 100 ticks",
            f"frames     {one['pending']:,} pending, {one['lost']:,} lost",
            *(f"problem    {cell(str(reason))}" for reason in one["problems"]),
        ]
    rows = [
        (
            str(slot["slot"]),
            slot["state"] if slot["alive"] or slot["owner"] is None else "GONE",
            slot["owner"] or "-",
            f"{slot['registered']}/{slot['capacity']}",
            "-" if slot["pending"] is None else f"{slot['pending']:,}",
            seoul_time.of_rfc3339(slot["since"]),
            slot["why"] if slot["alive"] or slot["owner"] is None else f"silent since {slot['alive_at']}",
        )
        for slot in found["slots"]
    ]
    return [
        *(part for line in text for part in (wrapped(line, width, LABEL) if folds else [line])),
        "",
        *lines([_column(each) for each in COLUMNS], [[cell(part) for part in row] for row in rows], width, folds=folds),
    ]


def quantile(bounds: list[float], counts: list[int], total: int, share: float) -> float | None:
    """Return the least bound that `share` of all counted are at most; None if there is none."""
    reached = (bound for bound, count in zip(bounds, counts, strict=False) if count >= share * total)
    return next(reached, None) if total else None


def _connector(before: Sample | None, sample: Sample) -> dict[str, Any]:
    ticks, frames = _section(sample.status, "ticks"), _section(sample.status, "frames")
    latency = _section(ticks, "latency")
    delivered = sample.number("ticks", "acknowledged")
    seconds = 0.0 if before is None else sample.at - before.at
    gained = 0 if before is None else delivered - before.number("ticks", "acknowledged")
    return {
        "name": sample.status.get("name"),
        "version": sample.status.get("version"),
        "ready": sample.status.get("ready") is True,
        "problems": [*_texts(sample.status, "reasons"), *_texts(sample.status, "degraded")],
        "ticks_per_second": round(gained / seconds, 1) if seconds > 0 and gained >= 0 else None,
        "p99_seconds": _delay(latency),
        "acknowledged": delivered,
        "dead_letters": sum(_counts(ticks, "dead_letters")),
        "pending": sample.number("frames", "pending"),
        "lost": sum(_counts(frames, "lost")),
    }


def _delay(latency: Mapping[str, Any]) -> float | None:
    bounds, counts, total = (latency.get(name) for name in ("bounds", "counts", "total"))
    if not (isinstance(bounds, list) and isinstance(counts, list) and _is_count(total)):
        return None
    if not all(map(_is_count, counts)) or not all(type(each) in (int, float) and 0 <= each < MOST for each in bounds):
        return None
    return quantile(bounds, counts, total, LATENCY)


def _is_count(value: Any) -> TypeGuard[int]:
    """Return whether a value of a foreign answer is a count that a connector can have."""
    return type(value) is int and 0 <= value < MOST


def _slot(number: int, record: Record, now: datetime) -> dict[str, Any]:
    def of(name: str, kind: type) -> Any:
        found = record.get(name)
        return found if type(found) is kind else None

    return {
        "slot": number,
        "state": of("state", str) or "-",
        "owner": of("owner", str),
        "alive": silent_since(record, now) is None,
        "alive_at": of("alive_at", str),
        "registered": of("registered", int) or 0,
        "capacity": of("capacity", int) or 0,
        "pending": of("pending", int),
        "since": of("since", str),
        "why": " ".join(filter(None, (of("code", str), of("message", str)))),
    }


def _is_slot(key: str) -> bool:
    number = key.removeprefix(SLOT)
    return key.startswith(SLOT) and number.isascii() and number.isdecimal() and len(number) < 6


def _section(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def _counts(tree: Mapping[str, Any], name: str) -> list[int]:
    return [count for count in _section(tree, name).values() if _is_count(count)]


def _texts(tree: Mapping[str, Any], name: str) -> list[str]:
    found = tree.get(name)
    return [text for text in found[:MOST_PROBLEMS] if isinstance(text, str)] if isinstance(found, list) else []


def _column(given: Column | str) -> Column:
    return Column(given) if isinstance(given, str) else given
