"""Compares what was sent with what arrived."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ticks of one run, each figure counted by another observer.

    `sent` is the simulator's own count: it puts one tick into each frame. `received` is the
    journal's count, `delivered` what Kafka acknowledged to the connector. A reader built on another
    client counts `read_back` (distinct tick_ids), `duplicates` and `unreadable`. `pending` is still
    in the journal. An auditor found that the ticks cover `covered_volume` of the day's
    `accumulated_volume`, `backfilled` ticks from KIS's list among them.
    """

    sent: int
    received: int
    delivered: int
    dead_lettered: int
    pending: int
    read_back: int
    duplicates: int
    unreadable: int
    backfilled: int = 0
    covered_volume: int = 0
    accumulated_volume: int = 0

    @property
    def lost(self) -> int:
        """Sent ticks that are neither read back nor dead-lettered nor safe in the journal."""
        return max(0, self.sent - self.read_back - self.dead_lettered - self.pending)

    @property
    def is_drained(self) -> bool:
        """Whether no tick is under way."""
        return self.pending == 0 and self.received == self.sent and self.read_back + self.unreadable >= self.delivered

    def differences(self) -> list[str]:
        """Return a sentence for each break of sent = received = delivered = read back.

        Duplicates are no difference: delivery is at least once, and copies share one tick_id.
        """
        found = []
        if self.received != self.sent:
            found.append(f"The simulator sent {self.sent} ticks, and the connector received {self.received}.")
        if self.delivered != self.received:
            rest = f"{self.dead_lettered} were dead-lettered, {self.pending} are still in the journal"
            found.append(
                f"The connector received {self.received} ticks, and Kafka acknowledged {self.delivered}: {rest}."
            )
        if self.read_back != self.delivered:
            found.append(
                f"Kafka acknowledged {self.delivered} ticks, and an independent consumer read back {self.read_back}."
            )
        if self.unreadable:
            found.append(f"The independent consumer could not decode {self.unreadable} records.")
        return found
