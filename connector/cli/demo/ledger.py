"""Compares what was sent with what arrived."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ledger:
    """The figures of one run, each counted by another observer.

    The simulator counts the `frames` it sent, the ticks in them (`sent`), the ticks it sent
    before (`repeated`, part of `sent`), and what it spoiled (`malformed`). `received` is the
    journal's count of frames, and `pending` the frames still in it. Kafka acknowledged the ticks
    `delivered` and the dead letters. A reader built on another client counts `read_back` (distinct
    tick_ids), `duplicates` and `unreadable`. An auditor found that the ticks cover `covered_volume`
    of the day's `accumulated_volume`, `backfilled` ticks from KIS's list among them.

    `ticks_per_frame` is the most ticks of one frame. `is_cut` says that the simulator ends
    sessions, so that frames it sent may never arrive.
    """

    frames: int
    sent: int
    received: int
    delivered: int
    dead_lettered: int
    pending: int
    read_back: int
    duplicates: int
    unreadable: int
    repeated: int = 0
    malformed: int = 0
    backfilled: int = 0
    covered_volume: int = 0
    accumulated_volume: int = 0
    ticks_per_frame: int = 1
    is_cut: bool = False

    @property
    def lost(self) -> int:
        """Sent ticks that are neither read back nor dead-lettered nor safe in the journal.

        Of the frames of a session that was cut, none is lost if KIS's list filled every hole.
        """
        if self.is_cut and self._is_covered:
            return 0
        dead_ticks = max(0, self.dead_lettered - self.malformed)
        safe_ticks = self.pending * self.ticks_per_frame
        return max(0, self._distinct - self.read_back - dead_ticks - safe_ticks)

    @property
    def is_drained(self) -> bool:
        """Whether no tick is under way."""
        has_arrived = self.is_cut or self.received == self.frames
        return self.pending == 0 and has_arrived and self._read >= self.delivered

    def differences(self) -> list[str]:
        """Return a sentence for each break of sent = received = delivered = read back.

        The faults that were switched on are no difference. Neither are duplicates: delivery is at
        least once, and copies share one tick_id.
        """
        found = [*self._cut_differences()] if self.is_cut else [*self._sent_differences()]
        if self._read < self.delivered or (self.read_back != self._distinct and not self.is_cut):
            found.append(
                f"Kafka acknowledged {self.delivered} ticks, {self.repeated} of the ticks sent were repeats,"
                f" and an independent consumer read back {self.read_back}."
            )
        if self.unreadable:
            found.append(f"The independent consumer could not decode {self.unreadable} records.")
        return found

    def _sent_differences(self) -> list[str]:
        found = []
        if self.received != self.frames:
            found.append(f"The simulator sent {self.frames} frames, and the connector received {self.received}.")
        if self.delivered != self.sent or self.pending:
            found.append(
                f"The simulator sent {self.sent} ticks, and Kafka acknowledged {self.delivered}:"
                f" {self.pending} frames are still in the journal."
            )
        if self.dead_lettered != self.malformed:
            found.append(
                f"The simulator spoiled {self.malformed} frames or records; {self.dead_lettered} were dead-lettered."
            )
        return found

    def _cut_differences(self) -> list[str]:
        found = []
        if self.pending:
            found.append(f"{self.pending} frames are still in the journal.")
        if not self._is_covered:
            found.append(
                f"Sessions were cut, and the ticks cover {self.covered_volume} of {self.accumulated_volume}"
                " that KIS counted."
            )
        if self.dead_lettered > self.malformed:
            found.append(
                f"The simulator spoiled {self.malformed} frames or records; {self.dead_lettered} were dead-lettered."
            )
        return found

    @property
    def _distinct(self) -> int:
        return self.sent - self.repeated

    @property
    def _read(self) -> int:
        return self.read_back + self.duplicates + self.unreadable

    @property
    def _is_covered(self) -> bool:
        return self.covered_volume == self.accumulated_volume > 0
