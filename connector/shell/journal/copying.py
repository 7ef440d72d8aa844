"""Reads the frames of a journal's folder without its lock, in the order of receipt."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from connector.core.journal.record import HEADER_BYTES, Block, Item, Key, format_of
from connector.core.ticks.frame import Received
from connector.shell.journal.reading import items
from connector.shell.journal.recovery import SEGMENT, refuse_newer
from connector.shell.journal.segment import given
from connector.shell.journal.unlocked import opened, unlocked


class Copying:
    """The frames of a journal, held by a running connector or not.

    `skipped_bytes` were damaged. `deleted` counts the segments that the running connector deleted
    before they were read. `bytes_read` of `bytes` says how far the reading is.
    """

    def __init__(self, path: Path) -> None:
        """Raise RequestMalformed if there is no journal, JournalUnusable if it may not be read."""
        self.skipped_bytes = 0
        self.deleted = 0
        self.bytes_read = 0
        with unlocked(path):
            names = sorted(name for name in os.listdir(path) if SEGMENT.fullmatch(name))  # noqa: PTH208 - names alone
        self._segments = [path / name for name in names]
        self.bytes = sum(map(_size, self._segments))

    def frames(self) -> Iterator[Received]:
        """Yield each frame once. Raises JournalUnusable."""
        ends = [int(each.stem) for each in self._segments[1:]]
        for path, before in zip(self._segments, [*ends, 1 << 63], strict=True):
            size, read_before = _size(path), self.bytes_read
            try:
                for _, end, item in _items(path, self._skip):
                    self.bytes_read = read_before + end
                    # A later segment holds again what an earlier one may have lost.
                    if isinstance(item, Block):
                        yield from item.frames[: max(0, before - item.first_seq)]
            except FileNotFoundError:
                self.deleted += 1
            self.bytes_read = read_before + size

    def _skip(self, skipped: int) -> None:
        self.skipped_bytes += skipped

    def cipher_keys(self) -> Iterator[Key]:
        """Yield the cipher keys, oldest first. A key may be stored after frames that need it."""
        for path in self._segments:
            with contextlib.suppress(FileNotFoundError):
                yield from (item for _, _, item in _items(path) if isinstance(item, Key))


def _items(path: Path, on_skipped: Callable[[int], object] = abs) -> Iterator[tuple[int, int, Item]]:
    with opened(path) as fd:
        if fd is None:
            on_skipped(_size(path))
            return
        refuse_newer(path.parent, format_of(given(fd, HEADER_BYTES, 0)))
        yield from items(fd, [(int(path.stem) - 1, HEADER_BYTES)], on_skipped=on_skipped)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
