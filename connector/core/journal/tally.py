"""Counts what became of each number: finished, pending or lost."""

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Mapping

from connector.core.journal.record import LossReason, Mark


class Tally:
    """Every number up to `last` is finished, pending or lost, and is counted once.

    Up to the watermark, a number is finished unless it is lost. Above the watermark it is pending
    unless it is lost, and each lost range is known as a mark. `lost` counts lost numbers by reason.
    The log has all that it needs up to `written`, and the disk up to `synced`.
    """

    def __init__(self, watermark: int, last: int, losses: Mapping[LossReason, int], marks: Iterable[Mark]) -> None:
        self.watermark = watermark
        self.last = self.written = self.synced = max(last, watermark)
        self.lost = Counter(losses)
        self.marks = list[Mark]()  # disjoint and in order
        for mark in marks:
            if mark.lost:
                self.lose(mark.first_seq, mark.last_seq, mark.lost)

    def lose(self, first: int, last: int, reason: LossReason) -> list[range]:
        """Count these numbers as lost; return those that were above the watermark and not lost."""
        start, fresh, self.last = max(first, self.watermark + 1), list[range](), max(self.last, last)
        for known in self.marks[max(0, self._place(start)) :]:
            if known.first_seq > last:
                break
            if known.first_seq > start:
                fresh.append(range(start, known.first_seq))
            start = max(start, known.last_seq + 1)
        if start <= last:
            fresh.append(range(start, last + 1))
        for each in fresh:
            self.lost[reason] += len(each)
            self._add(Mark(each.start, each.stop - 1, reason))
        return fresh

    def _add(self, mark: Mark) -> None:
        latest = self.marks[-1] if self.marks else None
        if latest and latest.last_seq == mark.first_seq - 1 and latest.lost == mark.lost:  # one loss after another
            self.marks[-1] = latest._replace(last_seq=mark.last_seq)
        else:
            insort(self.marks, mark)

    def _place(self, seq: int) -> int:
        """Return the place of the last mark that begins at or before this number, or -1."""
        return bisect_right(self.marks, seq, key=lambda mark: mark.first_seq) - 1

    def settle(self, through: int) -> None:
        """Forget the marks up to this number, which must not exceed the watermark."""
        while self.marks and self.marks[0].first_seq <= through:
            first = self.marks.pop(0)
            if through < first.last_seq:
                self.marks.insert(0, first._replace(first_seq=through + 1))

    def after_lost(self, seq: int) -> int:
        """Return the first number from `seq` on that is not lost."""
        place = max(0, self._place(seq))
        while place < len(self.marks) and self.marks[place].first_seq <= seq:
            seq, place = max(seq, self.marks[place].last_seq + 1), place + 1
        return seq

    @property
    def settled_losses(self) -> dict[LossReason, int]:
        """How many lost numbers have no mark, by reason."""
        settled = self.lost.copy()
        for first, last, reason in self.marks:
            if reason:
                settled[reason] -= last - first + 1
        return dict(+settled)

    @property
    def finished(self) -> int:
        """How many numbers are acknowledged or dead-lettered."""
        return self.last - self.pending - self.lost.total()

    @property
    def pending(self) -> int:
        """How many numbers are neither finished nor lost."""
        above = self.watermark + 1
        lost_above = sum(last - max(first, above) + 1 for first, last, _ in self.marks if last >= above)
        return self.last - self.watermark - lost_above
