"""Reports losses, merged, and keeps for the next process what is not reported yet."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Final

import structlog

from connector.core.journal.loss import Loss
from connector.core.journal.record import Block, LossReason
from connector.core.journal.tally import Tally

log = structlog.get_logger("connector.journal")

ROUND_SECONDS = 1.0
LOSING_SECONDS = 60.0  # the longest time between two reports while frames are being lost
SAVED: Final = "losses"


class LossReports:
    """Losses are reported when no more frames are lost, every minute meanwhile, and at a stop."""

    def __init__(self, tally: Tally, saved: str, on_loss: Callable[[Loss], None]) -> None:
        self._tally = tally
        self._on_loss = on_loss
        self._unreported = _from_text(saved)

    def lose(self, block: Block, reason: LossReason) -> None:
        """Count these frames as lost, without those that are finished."""
        for each in self._tally.lose(block.first_seq, block.last_seq, reason):
            for frame in block.frames[each.start - block.first_seq : each.stop - block.first_seq]:
                self._note(Loss(frame.slot, reason, 1, len(frame.raw), frame.received_ns, frame.received_ns))

    def miss(self, first: int, last: int) -> None:
        """Count as lost what should be in the log and cannot be read there."""
        self.note_missing(self._tally.lose(first, last, "corrupt"))

    def note_missing(self, missing: Sequence[range]) -> None:
        """Have these numbers reported, which are counted as `corrupt` already."""
        for each in missing:
            now = time.time_ns()
            self._note(Loss(0, "corrupt", len(each), 0, now, now))

    def _note(self, loss: Loss) -> None:
        before = self._unreported.get((loss.slot, loss.reason))
        if before is None:
            log.error("frames_lost", slot=loss.slot, reason=loss.reason)
        self._unreported[loss.slot, loss.reason] = before + loss if before else loss

    def report(self) -> None:
        """Report the losses not yet reported."""
        reported, self._unreported = self._unreported, {}
        for loss in reported.values():
            self._on_loss(loss)

    async def report_in_time(self) -> None:
        """Wait for losses, and report them when they end, or after a minute."""
        await asyncio.sleep(ROUND_SECONDS)
        until = asyncio.get_running_loop().time() + LOSING_SECONDS
        while self._unreported:
            before = self._tally.lost.total()
            await asyncio.sleep(ROUND_SECONDS)
            if self._tally.lost.total() == before or asyncio.get_running_loop().time() >= until:
                self.report()

    @property
    def to_save(self) -> str:
        """The losses not yet reported, as a text for the next process."""
        return json.dumps([astuple(loss) for loss in self._unreported.values()])


def _from_text(saved: str) -> dict[tuple[int, LossReason], Loss]:
    """Return the losses that the last process saved, or none if the text is unreadable."""
    try:
        losses = [Loss(*fields) for fields in json.loads(saved)]
    except (TypeError, ValueError):
        log.warning("kept_losses_unreadable", kept=saved)
        losses = []
    return {(loss.slot, loss.reason): loss for loss in losses}
