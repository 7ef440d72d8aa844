"""Reports losses, merged, and keeps for the next process what is not reported yet."""

import asyncio
import json
from collections.abc import Callable
from typing import Final

import structlog

from connector.core.journal.loss import Loss, Losses
from connector.core.journal.tally import Tally
from connector.shell.journal.syncing import Syncing

log = structlog.get_logger("connector.journal")

ROUND_SECONDS = 1.0
LOSING_SECONDS = 60.0  # the longest time between two reports while frames are being lost
SAVED: Final = "losses"


class LossReports:
    """Losses are reported when no more frames are lost, every minute meanwhile, and at a stop."""

    def __init__(self, tally: Tally, syncing: Syncing, on_loss: Callable[[Loss], None]) -> None:
        self._tally = tally
        self._syncing = syncing
        self._on_loss = on_loss
        self._losses = _losses(syncing.texts.pop(SAVED, None))
        self._since = asyncio.get_running_loop().time()

    def note(self, loss: Loss) -> None:
        """Count a loss in the next report; log the first of its kind."""
        if self._losses.add(loss):
            log.error("frames_lost", slot=loss.slot, reason=loss.reason)

    def report(self) -> None:
        """Report the losses not yet reported."""
        for loss in self._losses.take():
            self._on_loss(loss)

    async def report_in_time(self) -> None:
        """Wait a second, report what is due, and keep the rest."""
        before = self._tally.lost
        await asyncio.sleep(ROUND_SECONDS)
        now = asyncio.get_running_loop().time()
        if not self._losses.unreported:
            self._since = now
        elif self._tally.lost == before or now - self._since >= LOSING_SECONDS:
            self.report()
            self._since = now
        self.keep()

    def keep(self) -> None:
        """Have the losses not yet reported saved for the next process."""
        self._syncing.keep_text(SAVED, json.dumps(self._losses.to_json()))


def _losses(saved: str | None) -> Losses:
    """Return the losses that the last process saved, or none if the text is unreadable."""
    try:
        return Losses(json.loads(saved or "[]"))
    except (TypeError, ValueError):
        log.warning("kept_losses_unreadable", kept=saved)
        return Losses()
