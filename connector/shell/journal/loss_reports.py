"""Reports losses, merged, and keeps for the next process those whose reports are not saved yet."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Final

import structlog
from pydantic import TypeAdapter

from connector.core.journal.loss import Loss
from connector.core.journal.record import Block, LossReason, Number
from connector.core.journal.tally import Tally

log = structlog.get_logger("connector.journal")

ROUND_SECONDS = 1.0
LOSING_SECONDS = 60.0  # the longest time between two reports while frames are being lost
SAVED: Final = "losses"
COUNTED: Final = "losses_counted"  # how many frames were lost in all when this was saved, by reason
EVENTS: Final = "events"  # the name under which shell/topics/events.py saves what was reported to it
_LOSSES: Final = TypeAdapter(list[tuple[Number, LossReason, Number, Number, Number, Number]])
_COUNTS: Final = TypeAdapter(dict[LossReason, Number])


class LossReports:
    """Losses are reported when no more frames are lost, every minute meanwhile, and at a stop.

    `saved` holds the last process's texts. If a kill left losses counted but not saved, what is
    reported is their number. `missing` is how many frames this start found lost.
    """

    def __init__(self, tally: Tally, saved: Mapping[str, str], missing: int, on_loss: Callable[[Loss], None]) -> None:
        self._tally = tally
        self._on_loss = on_loss
        self._reported: dict[tuple[int, LossReason], Loss] = {}  # the events that tell of these are not saved yet
        self._unreported = _from_text(saved.get(SAVED, "[]"))
        counted = _counted(saved.get(COUNTED))
        untold: Counter[LossReason] = Counter({"corrupt": missing}) if counted is None else tally.lost - counted
        for reason, frames in (+untold).items():
            self._note_unseen(reason, frames)

    def lose(self, block: Block, reason: LossReason) -> None:
        """Count these frames as lost, without those that are finished."""
        for each in self._tally.lose(block.first_seq, block.last_seq, reason):
            for frame in block.frames[each.start - block.first_seq : each.stop - block.first_seq]:
                self._note(Loss(frame.slot, reason, 1, len(frame.raw), frame.received_ns, frame.received_ns))

    def miss(self, first: int, last: int) -> None:
        """Count as lost what should be in the log and cannot be read there."""
        for each in self._tally.lose(first, last, "corrupt"):
            self._note_unseen("corrupt", len(each))

    def _note_unseen(self, reason: LossReason, frames: int) -> None:
        now = time.time_ns()
        self._note(Loss(0, reason, frames, 0, now, now))

    def _note(self, loss: Loss) -> None:
        if (loss.slot, loss.reason) not in self._unreported:
            log.error("frames_lost", slot=loss.slot, reason=loss.reason)
        _merge(self._unreported, loss)

    def report(self) -> None:
        """Report the losses not yet reported."""
        reported, self._unreported = self._unreported, {}
        for loss in reported.values():
            _merge(self._reported, loss)
            self._on_loss(loss)

    def forget_reported(self) -> None:
        """Forget what was reported, as the events are saved from here on."""
        self._reported.clear()

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
    def to_save(self) -> Mapping[str, str]:
        """The texts for the next process."""
        losses = [*self._reported.values(), *self._unreported.values()]
        return {SAVED: json.dumps([astuple(loss) for loss in losses]), COUNTED: json.dumps(self._tally.lost)}


def _merge(losses: dict[tuple[int, LossReason], Loss], loss: Loss) -> None:
    before = losses.get((loss.slot, loss.reason))
    losses[loss.slot, loss.reason] = before + loss if before else loss


def _from_text(saved: str) -> dict[tuple[int, LossReason], Loss]:
    """Return the losses that the last process saved, or none if the text is unreadable."""
    merged = dict[tuple[int, LossReason], Loss]()
    try:
        for fields in _LOSSES.validate_json(saved):
            _merge(merged, Loss(*fields))
    except ValueError:
        log.warning("kept_losses_unreadable", kept=saved)
    return merged


def _counted(saved: str | None) -> Counter[LossReason] | None:
    """Return how many losses the last process counted, None if earlier versions saved no number."""
    try:
        return None if saved is None else Counter(_COUNTS.validate_json(saved))
    except ValueError:
        log.warning("kept_losses_unreadable", kept=saved)
        return None
