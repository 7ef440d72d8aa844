"""What a run comes to: everything sent, received, delivered, lost, missed, repeated, out of order."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from connector.core.ticks.avro import TickSchema, decode
from connector.packaged_files import bond_tick
from simulator.sent_log import Sent
from tests.kafka.reader import Record

SCHEMA = TickSchema(bond_tick())
LEAST_TICKS = 1000  # of each bond; a run with fewer shows nothing


@dataclass(frozen=True, slots=True)
class Watched:
    """Figures taken while the run was on. Seconds, MiB; gaps by tick partition."""

    gaps: Mapping[int, float] = field(default_factory=dict)
    catch_up_seconds: float = 0
    peak_rss_mb: float = 0
    peak_journal_mb: float = 0
    law_broken: Sequence[str] = ()
    samples: int = 0
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Ledger:
    """One run's figures; `lost` = received - delivered - dead letters - pending - counted losses, and must be 0.

    sent: data frames the exchange wrote, of one record each, `copies` of earlier ones included; received: frames the journal took, over
    all restarts; decoded, acknowledged: ticks, by the last process; delivered: distinct ticks read back; missed = sent - received;
    inversions: of first copies, by bond; the gap is the longest one without an acknowledgement.
    """

    sent: int
    copies: int
    received: int
    decoded: int
    acknowledged: int
    delivered: int
    dead_letters: int
    pending: int
    counted_losses: int
    lost: int
    missed: int
    duplicates: int
    inversions: int
    unknown: int
    least_ticks: int
    connects: int
    stall_seconds: float
    rebuilds: int
    exit_code: int
    watched: Watched

    @property
    def longest_gap_seconds(self) -> float:
        """The longest time without an acknowledgement, of any partition."""
        return max(self.watched.gaps.values(), default=0.0)

    @property
    def not_decoded(self) -> int:
        """How many frames the journal took and kept without a tick made of them; only where one process did all of it."""
        return self.received - self.counted_losses - self.decoded

    @property
    def not_read_back(self) -> int:
        """How many ticks Kafka is said to have acknowledged that nobody can read; at least so many where restarts began to count anew."""
        if self.watched.processes == 1:
            return self.acknowledged - self.delivered - self.copies
        return max(0, self.acknowledged - self.delivered - self.copies - self.duplicates)

    def as_json(self) -> dict[str, Any]:
        """Return all figures as JSON holds them, those taken while the run was on among the others."""
        figures = asdict(self)
        return figures | figures.pop("watched") | {"longest_gap_seconds": round(self.longest_gap_seconds, 2)}


def balance(
    sent: Sequence[Sent],
    ticks: Iterable[Record],
    letters: Sequence[Record],
    status: Mapping[str, Any],
    watched: Watched,
    **figures: Any,
) -> Ledger:
    """Return the ledger of a run: the exchange's log, both topics as another client read them, the connector's last /status.

    `figures` are connects, stall_seconds and exit_code.
    """
    known = _identities(sent)
    first_copies: defaultdict[str, list[int]] = defaultdict(list)
    seen: set[int] = set()
    duplicates = unknown = 0
    for record in ticks:
        tick = decode(record.value or b"", SCHEMA)
        number = known.get(tick["tick_id"])
        if number is None:
            unknown += 1
        elif number in seen:
            duplicates += 1
        else:
            seen.add(number)
            first_copies[tick["STND_ISCD"]].append(number)
    records = [record for frame in sent if frame.kind == "ticks" for record in frame.records]
    written = sum(map(is_data, sent))
    copies = sum(frame.count for frame in sent if frame.kind == "ticks" and frame.copy)
    frames = status["frames"]
    lost = sum(frames["lost"].values())
    by_bond = Counter(record.tr_key for record in records)
    return Ledger(
        sent=written,
        copies=copies,
        received=frames["received"],
        decoded=status["ticks"]["decoded"],
        acknowledged=status["ticks"]["acknowledged"],
        delivered=len(seen),
        dead_letters=len(letters),
        pending=frames["pending"],
        counted_losses=lost,
        lost=frames["received"] - min(copies, frames["received"]) - len(seen) - len(letters) - frames["pending"] - lost,
        missed=written - frames["received"],
        duplicates=duplicates - copies,
        inversions=sum(_inversions(numbers) for numbers in first_copies.values()),
        unknown=unknown,
        least_ticks=min(by_bond.values(), default=0),
        rebuilds=status["delivery"]["producer_rebuilds"],
        watched=watched,
        **figures,
    )


def is_data(frame: Sent) -> bool:
    """Tell whether what the exchange sent is a data frame: what the connector counts as received, whatever it holds."""
    return frame.kind == "ticks" or (frame.kind == "raw" and (frame.raw or b"").startswith((b"0|", b"1|")))


def broken_laws(status: Mapping[str, Any], written: int) -> list[str]:
    """Return which laws one /status breaks, with its figures; `written`: the data frames of the exchange's log just after it.

    Two are the connector's own sums. The others hold figures against each other that are counted apart: the lanes' acknowledged
    records, the journal's frames, the exchange's log. Frames hold one record each here.
    """
    frames, ticks = status["frames"], status["ticks"]
    lost, letters = sum(frames["lost"].values()), ticks["dead_letters"]
    of_records = sum(count for reason, count in letters.items() if reason.startswith(("FIELD_", "KAFKA_")))
    by_lanes = sum(lane["acknowledged"] for lane in status["delivery"]["lanes"])
    laws = {
        "received = finished + pending + lost": frames["received"] == frames["finished"] + frames["pending"] + lost,
        "decoded = acknowledged + dead letters + in flight": ticks["decoded"]
        == ticks["acknowledged"] + of_records + ticks["in_flight"],
        "acknowledged + dead letters = records acknowledged by lanes": ticks["acknowledged"] + sum(letters.values())
        == by_lanes,
        "0 ≤ in flight ≤ pending": 0 <= ticks["in_flight"] <= frames["pending"],
        "received ≤ what the exchange wrote": frames["received"] <= written,
    }
    return [
        f"{law}: {written} written, {frames}, {ticks}, {by_lanes} by lanes" for law, holds in laws.items() if not holds
    ]


def _identities(sent: Sequence[Sent]) -> dict[str, int]:
    """Return the place in the log of each record by its possible identities: its trade date is today's, or yesterday's around midnight."""
    today = datetime.now(ZoneInfo("Asia/Seoul")).date()
    days = [f"{today - timedelta(days=back)}|".encode() for back in (-1, 0, 1)]
    found: dict[str, int] = {}
    number = 0
    for frame in sent:
        for record in frame.records if frame.kind == "ticks" else ():
            for day in days:
                found.setdefault(blake2b(day + record.raw.encode(), digest_size=16).hexdigest(), number)
            number += 1
    return found


def _inversions(numbers: Sequence[int]) -> int:
    """Count the records that stand behind a later one."""
    highest, behind = -1, 0
    for number in numbers:
        behind += number < highest
        highest = max(highest, number)
    return behind
