"""The sums of a run: everything sent, received, delivered, lost, missed, repeated, disordered."""

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
LEAST_TICKS = 1000  # of each bond; a run with fewer proves nothing


@dataclass(frozen=True, slots=True)
class Watched:
    """Figures sampled during a run: seconds, MiB, and gaps by tick partition."""

    gaps: Mapping[int, float] = field(default_factory=dict)
    catch_up_seconds: float = 0
    peak_rss_mb: float = 0
    peak_journal_mb: float = 0
    law_broken: Sequence[str] = ()
    samples: int = 0
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Ledger:
    """One run's figures. `lost` must be 0.

    lost = received - delivered - dead letters - pending - counted losses. sent: data frames of the
    exchange, one record each, with `copies` of earlier ones; received: frames the journal accepted,
    over all restarts; decoded, acknowledged: ticks of the last process; delivered: distinct ticks
    read back; missed = sent - received; inversions: of first copies, by bond and partition; split
    bonds: those with ticks in several partitions; gap: the longest time without an acknowledgement.
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
    split_bonds: int
    unknown: int
    least_ticks: int
    connects: int
    stall_seconds: float
    rebuilds: int
    exit_code: int
    watched: Watched

    @property
    def longest_gap_seconds(self) -> float:
        """The longest time without an acknowledgement in any partition."""
        return max(self.watched.gaps.values(), default=0.0)

    @property
    def not_decoded(self) -> int:
        """Frames the journal accepted that gave no tick; only if one process did everything."""
        return self.received - self.counted_losses - self.decoded

    @property
    def not_read_back(self) -> int:
        """Ticks that count as acknowledged but cannot be read; a lower bound after restarts."""
        if self.watched.processes == 1:
            return self.acknowledged - self.delivered - self.copies
        return max(0, self.acknowledged - self.delivered - self.copies - self.duplicates)

    def as_json(self) -> dict[str, Any]:
        """Return all figures as JSON holds them, including those sampled during the run."""
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
    """Return a run's ledger: the exchange's log, both topics as read back, the last /status.

    `figures` are connects, stall_seconds and exit_code.
    """
    known = _identities(sent)
    first_copies: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
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
            first_copies[tick["STND_ISCD"], record.partition].append(number)
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
        split_bonds=sum(partitions > 1 for partitions in Counter(isin for isin, _ in first_copies).values()),
        unknown=unknown,
        least_ticks=min(by_bond.values(), default=0),
        rebuilds=status["delivery"]["producer_rebuilds"],
        watched=watched,
        **figures,
    )


def is_data(frame: Sent) -> bool:
    """Whether a message of the exchange is a data frame, which the connector counts as received."""
    return frame.kind == "ticks" or (frame.kind == "raw" and (frame.raw or b"").startswith((b"0|", b"1|")))


def broken_laws(status: Mapping[str, Any], written: int) -> list[str]:
    """Return the laws that a /status breaks, with figures; `written`: data frames just after it.

    Two laws are the connector's own sums. The others compare figures that are counted
    separately: the lanes' acknowledged records, the journal's frames, the exchange's log.
    A frame has one record here.
    """
    frames, ticks = status["frames"], status["ticks"]
    lost, letters = sum(frames["lost"].values()), ticks["dead_letters"]
    of_records = sum(count for reason, count in letters.items() if reason.startswith(("FIELD_", "KAFKA_")))
    by_lanes = sum(lane["acknowledged"] for lane in status["delivery"]["lanes"])
    laws = {
        "received = finished + pending + lost": frames["received"] == frames["finished"] + frames["pending"] + lost,
        "decoded = acknowledged + dead letters + in flight": ticks["decoded"]
        == ticks["acknowledged"] + of_records + ticks["in_flight"],
        "acknowledged + dead letters = records acknowledged by lanes + refused letters": ticks["acknowledged"]
        + sum(letters.values())
        == by_lanes + frames["lost"].get("dead_letter_refused", 0),
        "0 ≤ in flight ≤ pending": 0 <= ticks["in_flight"] <= frames["pending"],
        "received ≤ what the exchange wrote": frames["received"] <= written,
    }
    return [
        f"{law}: {written} written, {frames}, {ticks}, {by_lanes} by lanes" for law, holds in laws.items() if not holds
    ]


def _identities(sent: Sequence[Sent]) -> dict[str, int]:
    """Return each record's place in the log, by its possible identities.

    Around midnight, its trade date may be today or yesterday.
    """
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
    """Count the records that come after a later one."""
    highest, inverted = -1, 0
    for number in numbers:
        inverted += number < highest
        highest = max(highest, number)
    return inverted
