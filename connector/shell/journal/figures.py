"""What a journal counts, and what its disk does not do."""

from connector.core.journal.tally import Tally
from connector.shell.journal.log import Log
from connector.shell.journal.syncing import Syncing
from connector.shell.journal.trouble import Trouble
from connector.shell.journal.writing import Writing


class Figures:
    """The figures of a journal, each for this moment; received = finished + pending + lost."""

    _log: Log
    _tally: Tally
    _trouble: Trouble
    _writing: Writing
    _syncing: Syncing

    @property
    def watermark(self) -> int:
        """Every frame up to this number is finished or lost."""
        return self._tally.watermark

    @property
    def last_seq(self) -> int:
        """The last number given."""
        return self._tally.last

    @property
    def committed_seq(self) -> int:
        """Frames up to this number are in the log."""
        return self._writing.written

    @property
    def synced_seq(self) -> int:
        """Frames up to this number are on the disk."""
        return self._syncing.synced

    @property
    def received(self) -> int:
        """Frames received over the life of the journal, including lost ones."""
        return self._tally.last

    @property
    def finished(self) -> int:
        """Frames acknowledged or dead-lettered over the life of the journal."""
        return self._tally.finished

    @property
    def pending(self) -> int:
        """Frames received that are neither finished nor lost."""
        return self._tally.pending

    @property
    def lost(self) -> dict[str, int]:
        """Frames lost over the life of the journal, by reason."""
        return self._tally.lost

    @property
    def kept(self) -> int:
        """Frames in the log, including delivered ones."""
        segments = self._log.segments
        return max(0, self.committed_seq - segments[0].first + 1) if segments else 0

    @property
    def used_bytes(self) -> int:
        """Bytes of all the journal's files."""
        return self._log.used_bytes

    @property
    def write_error(self) -> str | None:
        """What the disk does not do at present, or None."""
        return next(iter(self._trouble.problems.values()), None)

    @property
    def segments_retired(self) -> int:
        """Segments that were given up in this run because they could not be synced."""
        return self._syncing.retired
