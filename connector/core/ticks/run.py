"""Splits many data frames of KIS at once into columns, or into groups of columns.

This is several times as fast as record by record, because the loops over the records run in C. Only
what nearly every frame is like is read this way; `frame.split` reads every frame.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, pairwise, repeat
from typing import NamedTuple, TypeVar

from connector.core.ticks.frame import MAX_COUNT, MAX_WIDTH, MIN_WIDTH, TR_ID, Received

T = TypeVar("T")

_COUNTS = {f"0|{TR_ID}|{count:03d}|".encode(): count for count in range(1, MAX_COUNT + 1)}
_HEADER_BYTES = len(next(iter(_COUNTS)))


class Run(NamedTuple):
    """The records of consecutive frames, all equally wide and in UTF-8.

    `counts[f]` is the number of records of frame f, and `width` the number of a record's columns.
    `texts[c][r]` is the text of record r from column c up to the next column that is a key of
    `texts`, without that one. `raws[r]` are the bytes of record r as KIS sent them.
    """

    counts: Sequence[int]
    width: int
    texts: Mapping[int, Sequence[str]]
    raws: Sequence[bytes]

    def for_each_record(self, of_frames: Iterable[T]) -> Sequence[T]:
        """Return each frame's value as often as the frame has records."""
        if len(self.counts) == len(self.raws):
            return list(of_frames)
        return list(chain.from_iterable(map(repeat, of_frames, self.counts)))


def split_run(frames: Sequence[Received], begins: Sequence[int]) -> Run | None:
    """Return the records of the frames, in wire order, or None if `frame.split` has to read them.

    They have the columns and the bytes that `frame.split` would find. `begins` are the keys of the
    run's texts: the first column of each group that is read as one text. Never raises.
    """
    counts = [_COUNTS.get(frame.raw[:_HEADER_BYTES], 0) for frame in frames if not frame.binary]
    raws = [frame.raw[_HEADER_BYTES:] for frame in frames]
    width = (raws[0].count(b"^") + 1) // (counts[0] or 1) if raws and counts else 0
    if (
        not MIN_WIDTH <= width <= MAX_WIDTH
        or not all(counts)
        or [raw.count(b"^") + 1 for raw in raws] != [count * width for count in counts]
    ):
        return None
    try:
        text = b"^".join([*raws, b""]).decode()
    except UnicodeDecodeError:
        return None
    begins = tuple(begin for begin in begins if begin < width)
    records = _record(begins, width).findall(text)
    if len(raws) < len(records):
        raws = ["^".join(record).encode() for record in records]
    if width > MIN_WIDTH and any(raw.endswith(b"^") for raw in raws):
        return None  # because a record ends with its last column that is not empty
    return Run(counts, width, dict(zip(begins, zip(*records, strict=True), strict=True)), raws)


@lru_cache(maxsize=MAX_WIDTH)
def _record(begins: tuple[int, ...], width: int) -> re.Pattern[str]:
    """Return the pattern of one record and the separator after it, with a group for each text."""
    groups = [r"\^".join(["[^^]*+"] * (end - begin)) for begin, end in pairwise((*begins, width))]
    return re.compile("".join(rf"({group})\^" for group in groups))
