"""What the auditor's core says of a run's ticks and events, as they were read back."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.core.coverage.book import Book
from connector.core.coverage.facts import Facts
from connector.core.coverage.hole import NOT_WANTED
from connector.core.coverage.tick_values import TickValues
from simulator.sent_log import Sent
from tests.faults.ledger import SCHEMA
from tests.kafka.reader import Record

VOLUME, ACCUMULATED = 7, 16  # columns of a trade


@dataclass(frozen=True, slots=True)
class Audited:
    """What is missing from the tick topic.

    `missed`: trades in the auditor's holes that the exchange had written to a session. `volume`: of
    its holes. `volume_kept_back`: of all trades of the exchange that the topic does not have, also
    those that no session was sent. `causes`: how many of the auditor's holes have which.
    """

    missed: int
    volume: int
    volume_kept_back: int
    causes: Mapping[str, int]


def audited(sent: Sequence[Sent], ticks: Iterable[Record], events: Iterable[Mapping[str, Any]]) -> Audited:
    """Return what the auditor says of the ticks and events, beside what the exchange's log says.

    The events are in the order in which they were written: a killed session's end is told late.
    Trades are told apart by bond and accumulated volume, so that a run must not last over midnight.
    """
    book, facts = Book(lambda _: True), Facts()
    values = TickValues([SCHEMA.text], asks_registry=False)
    for event in events:
        facts.event(event)
    now = time.time_ns() // 1_000_000
    arrived = set()
    for record in ticks:
        tick = values.read(record.value, _present(record), record.partition, record.offset)
        book.add(tick, now)
        arrived.add((tick.isin, tick.accumulated))
    book.settle(now, 0, facts)
    holes = [(day, hole) for day in book.days.values() for hole in day.holes if hole.cause != NOT_WANTED]
    gaps = defaultdict(list)
    for day, hole in holes:
        gaps[day.isin] += day.remaining(hole)
    trades = list(_trades(sent))
    written = {(isin, above) for is_written, isin, above, _ in trades if is_written}
    kept_back = {(isin, above): volume for _, isin, above, volume in trades if (isin, above) not in arrived}
    return Audited(
        missed=sum(any(low < above <= high for low, high in gaps[isin]) for isin, above in written),
        volume=sum(day.missing_volume for day in book.days.values()),
        volume_kept_back=sum(kept_back.values()),
        causes=Counter(hole.cause for _, hole in holes if hole.state != "FILLED"),
    )


def _present(record: Record) -> list[tuple[str, bytes]]:
    return [(name, value) for name, value in record.headers if value is not None]


def _trades(sent: Sequence[Sent]) -> Iterable[tuple[bool, str, int, int]]:
    """Yield whether a trade was written to a session, its bond, and its two volumes."""
    for frame in sent:
        for record in frame.records:
            columns = record.raw.split("^")
            yield frame.kind == "ticks", record.tr_key, int(columns[ACCUMULATED]), int(columns[VOLUME])
