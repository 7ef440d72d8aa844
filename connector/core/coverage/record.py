"""The coverage record, out and in. Its value is a contract: schemas/coverage.schema.json.

What only the auditor needs to go on after a restart, and no reader, is in the header `resume`.
"""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from connector.core.bonds.isin import has_shape
from connector.core.coverage.dates import FIRST_DATE, LAST_DATE, is_plausible_ms, parsed_ms, rfc3339
from connector.core.coverage.day import Checked, Day
from connector.core.coverage.hole import FILLED_BY, By, Hole, hole_id
from connector.core.coverage.readable import LONGEST_TEXT, readable
from connector.core.coverage.stretches import Stretch
from connector.core.coverage.tick import Trade

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.core.coverage.dates import IsTradingDay
    from connector.core.coverage.readable import Value

RESUME_HEADER: Final = "resume"


class NotACoverageRecord(ValueError):
    """A record that the auditor did not write, or that was damaged."""


def record_key(isin: str, trade_date: date) -> str:
    """Return the key of a record."""
    return f"{isin}/{trade_date.isoformat()}"


def split_key(key: str) -> tuple[str, date]:
    """Return the bond and the date that a key names. Raises NotACoverageRecord."""
    isin, _, day = key.partition("/")
    try:
        trade_date = date.fromisoformat(day)
    except ValueError:
        trade_date = date.min
    if not has_shape(isin) or not FIRST_DATE <= trade_date <= LAST_DATE:
        raise NotACoverageRecord("the key is not <ISIN>/<trade date>")
    return isin, trade_date


def value_of(day: Day) -> dict[str, Any]:
    """Return the record's value as JSON."""
    checked = day.checked
    return {
        "trade_date": day.trade_date.isoformat(),
        "state": day.state,
        "reason": day.reason,
        "ticks": day.ticks,
        "repeats": day.repeats,
        "irregular": day.irregular,
        "covered_volume": day.covered_volume,
        "accumulated_volume": day.accumulated_volume,
        "missing_volume": day.missing_volume,
        "unwanted_volume": day.unwanted_volume,
        "holes": [*map(dict, _holes(day))],
        "checked": None
        if checked is None
        else {"at": rfc3339(checked.at_ms), "accumulated_volume": checked.accumulated, "by": checked.by},
        "offsets": {str(partition): offset for partition, offset in sorted(day.offsets.items())},
    }


def _holes(day: Day) -> Iterator[dict[str, Any]]:
    """Yield the holes in ascending order. One that waits for its id has neither id nor cause."""
    remaining: dict[int, list[list[int]]] = {id(hole): [] for hole in day.holes}
    new = []
    for each in day.stretches.missing:
        if each.hole is None:
            new.append((each.low, _waiting(each)))
        else:
            remaining[id(each.hole)].append([each.low, each.high])
    known = [(hole.low, _announced(hole, remaining[id(hole)])) for hole in day.holes]
    return (fields for _, fields in sorted(known + new, key=lambda one: one[0]))


def _announced(hole: Hole, remaining: list[list[int]]) -> dict[str, Any]:
    return {
        "id": hole.id,
        "from_volume": hole.low,
        "to_volume": hole.high,
        "remaining": remaining,
        "after": neighbour(hole.after),
        "before": neighbour(hole.before),
        "cause": hole.cause,
        "state": hole.state,
        "announced": hole.is_announced,
    }


def _waiting(stretch: Stretch) -> dict[str, Any]:
    return {
        "id": None,
        "from_volume": stretch.low,
        "to_volume": stretch.high,
        "remaining": [[stretch.low, stretch.high]],
        "after": neighbour(stretch.after),
        "before": neighbour(stretch.before),
        "cause": None,
        "state": "OPEN",
        "announced": False,
    }


def neighbour(trade: Trade | None) -> dict[str, str] | None:
    """Return a hole's neighbour as records and events show it."""
    return None if trade is None else {"traded_at": rfc3339(trade.traded_ms), "tick_id": trade.tick_id}


def resume_of(day: Day) -> dict[str, Any]:
    """Return what the auditor needs beside the value to go on from the record.

    `sides` has when and on which slot the neighbours of holes were received, by tick id.
    """
    pairs = [(hole.after, hole.before) for hole in day.holes]
    pairs += [(each.after, each.before) for each in day.stretches.missing if each.hole is None]
    return {
        "last": None if day.stretches.last is None else list(day.stretches.last),
        "sides": {side.tick_id: [side.seen_ms, side.slot] for pair in pairs for side in pair if side},
        "until": {hole.id: hole.until_ms for hole in day.holes if hole.before is None},
        "filled_by": {hole.id: hole.filled_by for hole in day.holes if hole.state == "FILLED"},
        "broken": day.broken,
        "unlisted": day.unlisted,
        "unlisted_of": {hole.id: hole.unlisted for hole in day.holes if hole.unlisted},
    }


def encode(day: Day) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Return key, value and headers of the day's record, and count the day as unchanged."""
    day.is_changed = False
    key = record_key(day.isin, day.trade_date).encode()
    return key, _json(value_of(day)), [(RESUME_HEADER, _json(resume_of(day)))]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def decode(key: bytes, value: bytes, headers: Mapping[str, bytes], now_ms: int, is_trading_day: IsTradingDay) -> Day:
    """Return the day that a record holds. Raises NotACoverageRecord.

    Holes without an id have stood since `now_ms`. Without the header `resume` the neighbours' slots
    are not known, so that causes found later may miss some facts.
    """
    isin, trade_date = split_key(key.decode(errors="replace"))
    if (fields := readable(value)) is None:
        raise NotACoverageRecord(f"the value of {isin} on {trade_date} is not a coverage record")
    day = Day(isin, trade_date, is_trading_day=is_trading_day(trade_date))
    try:
        _restore(day, fields, _Resume.of(headers), now_ms)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NotACoverageRecord(f"the header {RESUME_HEADER} of {isin} on {trade_date} is not ours") from error
    day.is_changed = False
    return day


class _Resume(NamedTuple):
    """The header `resume`, as `resume_of` made it."""

    last: Trade | None
    sides: Mapping[str, tuple[int, int | None]]
    until: Mapping[str, int]
    filled_by: Mapping[str, By]
    broken: int
    unlisted: int
    unlisted_of: Mapping[str, int]

    @classmethod
    def of(cls, headers: Mapping[str, bytes]) -> Self:
        """Return what the header says. Raises ValueError, TypeError and AttributeError."""
        fields = json.loads(headers.get(RESUME_HEADER, b"{}"))
        last = fields.get("last")
        return cls(
            last=None if last is None else _trade(*last),
            sides={tick_id: (_time(seen), _slot(slot)) for tick_id, (seen, slot) in fields.get("sides", {}).items()},
            until={name: _time(at_ms) for name, at_ms in fields.get("until", {}).items()},
            filled_by={name: _by(text) for name, text in fields.get("filled_by", {}).items()},
            broken=_count(fields.get("broken", 0)),
            unlisted=_count(fields.get("unlisted", 0)),
            unlisted_of={name: _count(number) for name, number in fields.get("unlisted_of", {}).items()},
        )


def _trade(traded_ms: Any, tick_id: Any, seen_ms: Any, slot: Any) -> Trade:
    if not isinstance(tick_id, str) or len(tick_id) > LONGEST_TEXT:
        raise ValueError("not an id")
    return Trade(_time(traded_ms), tick_id, _time(seen_ms), _slot(slot))


def _time(at_ms: Any) -> int:
    if not is_plausible_ms(at_ms):
        raise ValueError("not a time")
    return int(at_ms)


def _slot(slot: Any) -> int | None:
    return None if slot is None else _count(slot)


def _count(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("not a count")
    return number


def _by(text: Any) -> By:
    for by in FILLED_BY.values():
        if by == text:
            return by
    raise ValueError("not a source")


def _restore(day: Day, fields: Value, resume: _Resume, now_ms: int) -> None:
    day.ticks, day.repeats, day.irregular = (fields[name] for name in ("ticks", "repeats", "irregular"))
    day.broken, day.unlisted = resume.broken, resume.unlisted
    day.offsets = {int(partition): offset for partition, offset in fields["offsets"].items()}
    reason = fields["reason"]
    day.doubt = reason if reason in {"deleted", "partitions"} else None
    day.is_taken_back, day.lacks_ticks = reason == "taken_back", reason == "no_ticks"
    if (checked := fields["checked"]) is not None:
        day.checked = Checked(parsed_ms(checked["at"]) or 0, checked["accumulated_volume"], checked["by"])
    day.stretches.top = fields["accumulated_volume"]
    day.stretches.last = resume.last
    for each in fields["holes"]:
        _restore_hole(day, each, resume, now_ms)


def _restore_hole(day: Day, fields: dict[str, Any], resume: _Resume, now_ms: int) -> None:
    low, high = fields["from_volume"], fields["to_volume"]
    sides = _side(fields["after"], resume), _side(fields["before"], resume)
    hole = None
    if fields["id"] is not None:
        name = hole_id(day.isin, day.trade_date, low, high)
        hole = Hole(name, low, high, *sides, resume.until.get(name, now_ms), fields["cause"])
        hole.state, hole.is_announced = fields["state"], fields["announced"]
        hole.has_gap_event = hole.is_announced
        hole.filled_by = resume.filled_by.get(name, FILLED_BY["ws"])
        hole.unlisted = resume.unlisted_of.get(name, 0)
        day.holes.append(hole)
    for piece_low, piece_high in fields["remaining"]:
        after = sides[0] if piece_low == low else None
        before = sides[1] if piece_high == high else None
        stretch = Stretch(piece_low, piece_high, after, before, now_ms)
        stretch.hole = hole
        day.stretches.missing.append(stretch)


def _side(fields: dict[str, str] | None, resume: _Resume) -> Trade | None:
    if fields is None:
        return None
    traded_ms = parsed_ms(fields["traded_at"]) or 0
    return Trade(traded_ms, fields["tick_id"], *resume.sides.get(fields["tick_id"], (traded_ms, None)))
