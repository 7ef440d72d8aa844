"""Counts what became of the records of this run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from connector.core.histogram import Latencies, WholeSeconds
from connector.core.ticks.dead_letter import DeadLetterReason
from connector.core.ticks.decode_bugs import DecodeBugs

LATENCY_BOUNDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
OF_RECORDS = ("FIELD_", "KAFKA_")  # a dead letter with such a reason is a record, any other a frame


@dataclass(slots=True)
class Counts:
    """`decoded` is the sum of `acknowledged`, `in_flight` and the dead letters of records.

    `dead_letters` includes those that Kafka refused for good; their frames are lost.
    """

    decoded: int = 0
    acknowledged: int = 0
    unrequested: int = 0
    extended: int = 0
    not_utf8: int = 0
    rebuilds: int = 0
    dead_letters: Counter[DeadLetterReason] = field(default_factory=Counter)
    decode_bugs: DecodeBugs = field(default_factory=DecodeBugs)
    event_ages: WholeSeconds = field(default_factory=WholeSeconds)  # from trade to receipt
    latencies: Latencies = field(default_factory=lambda: Latencies(LATENCY_BOUNDS))

    @property
    def in_flight(self) -> int:
        """Records taken out of frames but not yet acknowledged."""
        dead = sum(count for reason, count in self.dead_letters.items() if reason.startswith(OF_RECORDS))
        return self.decoded - self.acknowledged - dead

    def count_acknowledged(self, received_ns: Sequence[int], reasons: Sequence[DeadLetterReason], now_ns: int) -> None:
        """Count one acknowledged batch; `reasons` is empty unless its records are dead letters."""
        if reasons:
            self.dead_letters.update(reasons)
        else:
            self.acknowledged += len(received_ns)
            self.latencies.observe(received_ns, now_ns)
