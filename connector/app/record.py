"""Copies frames out of a journal into a recording, without secrets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from connector.core.journal.key_ring import KeyRing
from connector.core.ticks.dead_letter import of_frame, without_secrets
from connector.core.ticks.frame import ENCRYPTED_PREFIX, TR_ID, BadFrame, Received, decrypted
from connector.logs import clean, clean_known, hide
from connector.shell import recordings
from connector.shell.journal.copying import Copying

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from connector.core.time_span import Span

_DATA: Final = f"0|{TR_ID}|".encode()


@dataclass(slots=True)
class Recorded:
    """What a recording holds, and what of the journal it could not hold.

    `first_ns` and `last_ns` are the receive times of its first and last frame. `undecryptable`
    counts the frames left out, by reason. `cleaned` counts the messages in which what looked like a
    secret was hidden. `skipped_bytes` of the journal were damaged, and `deleted_segments` were
    deleted by the running connector before they were read.
    """

    frames: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    undecryptable: Counter[str] = field(default_factory=Counter)
    cleaned: int = 0
    skipped_bytes: int = 0
    deleted_segments: int = 0


def record(journal: Path, to: Path, span: Span, on_progress: Callable[[int, int], None]) -> Recorded:
    """Write the journal's frames of a span into a new file.

    `on_progress` gets the bytes read and their total. Raises RequestMalformed, JournalUnusable and
    NotInTime.
    """
    copying, recorded = Copying(journal), Recorded()
    keys: KeyRing | None = None
    with recordings.writing(to) as add:
        for frame in copying.frames():
            on_progress(copying.bytes_read, copying.bytes)
            if frame.received_ns not in span:
                continue
            plain: Received | BadFrame = frame
            if frame.raw.startswith(ENCRYPTED_PREFIX):
                if keys is None:
                    keys = _keys(copying)
                plain = decrypted(frame, keys.get(frame.slot, frame.session))
            if isinstance(plain, BadFrame):
                recorded.undecryptable[plain.reason] += 1
                continue
            raw = _without_secrets(plain)
            recorded.cleaned += raw != plain.raw
            add(plain._replace(raw=raw))
            recorded.frames += 1
            recorded.first_ns = recorded.first_ns or frame.received_ns
            recorded.last_ns = frame.received_ns
    recorded.skipped_bytes, recorded.deleted_segments = copying.skipped_bytes, copying.deleted
    return recorded


def _keys(copying: Copying) -> KeyRing:
    """Return the journal's cipher keys, which no text of the recording may contain."""
    found = KeyRing()
    for key in copying.cipher_keys():
        found.add(key)
        hide(*key.key)
    return found


def _without_secrets(frame: Received) -> bytes:
    """Return a frame's bytes; a message that is no trade may hold a secret."""
    if frame.raw.startswith(_DATA) and b'"' not in frame.raw and not frame.binary:
        return frame.raw
    letter = of_frame(frame, BadFrame("FRAME_KIND" if frame.binary else "FRAME_HEADER", ""))
    return without_secrets(letter, clean, clean_known).value
