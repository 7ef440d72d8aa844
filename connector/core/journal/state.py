"""The text of the two small files beside the segments: `progress` and `saved.json`."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from zlib import crc32

from pydantic import TypeAdapter

from connector.core.journal.record import FORMAT, LossReason, Mark, Number

MOST_BYTES: Final = 4096  # of `progress`
MOST_MARKS: Final = 48


class Progress(NamedTuple):
    """How far the journal's frames have come.

    `lanes` holds the watermark of each lane that is above `watermark`, the lowest. The log is on
    the disk up to number `synced`. `lost` counts the lost numbers up to the watermark. `marks` are
    the latest lost ranges above it. `alive_at` is when this was written, in ns of wall time.
    """

    watermark: Number
    synced: Number
    lost: Mapping[LossReason, Number]
    marks: list[Mark]
    lanes: Mapping[str, Number]
    alive_at: Number

    def to_bytes(self) -> bytes:
        """Return the file's content; it leaves out lanes, then marks, if they do not fit."""
        for part in (self, self._replace(lanes={}), self._replace(lanes={}, marks=self.marks[-8:])):
            content = sealed({"format": FORMAT, **part._asdict()})
            if len(content) <= MOST_BYTES:
                break
        return content

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> "Progress":
        """Return what `to_bytes` wrote. Raises ValueError."""
        return _PROGRESS.validate_python({name: content.get(name) for name in cls._fields})


_PROGRESS: Final = TypeAdapter(Progress)


def sealed(content: Mapping[str, Any]) -> bytes:
    """Return the content as one line of JSON with a checksum."""
    text = _text(content)
    return b'{"crc32":%d,"content":%s}\n' % (crc32(text), text)


def unsealed(data: bytes) -> dict[str, Any] | None:
    """Return the content, or None if it is damaged."""
    try:
        outer = json.loads(data)
        content = outer["content"]
        return content if isinstance(content, dict) and crc32(_text(content)) == outer["crc32"] else None
    except (KeyError, RecursionError, TypeError, ValueError):
        return None


def state_bytes(saved: int) -> int:
    """Return what two copies of both files need at most, if `saved.json` has so many bytes."""
    return 2 * (saved + MOST_BYTES) + 64


def _text(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
