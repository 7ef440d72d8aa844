"""What the parts of one journal share, and the figures that it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.core.journal.key_ring import KeyRing
from connector.core.journal.memory import Memory
from connector.core.journal.state import sealed, state_bytes
from connector.shell.journal.log import Log
from connector.shell.journal.loss_reports import LossReports
from connector.shell.journal.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.core.journal.loss import Loss
    from connector.core.journal.record import LossReason
    from connector.settings import JournalSettings
    from connector.shell.journal.folder import Folder
    from connector.shell.journal.recovery import Recovered


class State:
    """Where each frame is; at every moment received = finished + pending + lost.

    `progress` is what the file of this name holds. `segments_retired` were given up in this run
    because they could not be synced.
    """

    def __init__(
        self, folder: Folder, found: Recovered, settings: JournalSettings, on_loss: Callable[[Loss], None]
    ) -> None:
        self.log = Log(folder, found.segments, settings.max_bytes, settings.retain_hours * 3600)
        self.tally = found.tally
        self.memory = Memory(found.tally.last)
        self.ring = KeyRing()
        for key in found.keys:
            # The head of a segment does not tell where an older session ended: here, at the latest.
            self.ring.add(key._replace(seq=self.tally.last))
        self.trouble = Trouble()
        self.texts = {str(name): str(text) for name, text in found.saved.get("texts", {}).items()}
        self.log.state_bytes = state_bytes(len(sealed(found.saved)))
        self.losses = LossReports(self.tally, self.texts, sum(map(len, found.missing)), on_loss)
        self.progress = found.progress
        self.segments_retired = 0

    @property
    def readable(self) -> int:
        """Numbers up to this one may be delivered; while the disk fails, from memory."""
        return self.tally.last if self.trouble.problems else self.tally.after_lost(self.tally.written + 1) - 1

    @property
    def watermark(self) -> int:
        """Every frame up to this number is finished or lost."""
        return self.tally.watermark

    @property
    def last_seq(self) -> int:
        """The last number given."""
        return self.tally.last

    @property
    def committed_seq(self) -> int:
        """Frames up to this number are in the log."""
        return self.tally.written

    @property
    def synced_seq(self) -> int:
        """Frames up to this number are on the disk."""
        return self.tally.synced

    @property
    def received(self) -> int:
        """Frames received over the life of the journal, including lost ones."""
        return self.tally.last

    @property
    def finished(self) -> int:
        """Frames acknowledged or dead-lettered over the life of the journal."""
        return self.tally.finished

    @property
    def pending(self) -> int:
        """Frames received that are neither finished nor lost."""
        return self.tally.pending

    @property
    def lost(self) -> dict[LossReason, int]:
        """Frames lost over the life of the journal, by reason."""
        return dict(self.tally.lost)

    @property
    def kept(self) -> int:
        """Frames in the log, including delivered ones."""
        segments = self.log.segments
        return max(0, self.tally.written - segments[0].first + 1) if segments else 0

    @property
    def used_bytes(self) -> int:
        """Bytes of all the journal's files."""
        return self.log.used_bytes

    @property
    def write_error(self) -> str | None:
        """What the disk does not do at present, or None."""
        return next(iter(self.trouble.problems.values()), None)
