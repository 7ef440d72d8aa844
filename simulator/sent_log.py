"""Logs every data frame sent, in memory and as JSON lines."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

Kind = Literal["ticks", "malformed", "raw", "withheld", "unheard", "sibling"]


@dataclass(frozen=True, slots=True)
class SentRecord:
    """One record of a frame, before encryption and without a trailing caret.

    `reason` is None for a good record.
    """

    tr_key: str
    raw: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """One frame, with its session and its app key. `at` is its time in ns since 1970.

    A frame of the kind `ticks` has `records` and no `raw`. A frame of the kind `malformed` or `raw`
    has its bytes in `raw`. A `withheld` frame was never sent. An `unheard` frame is a trade of a
    bond that no session had registered, without app key and with session -1, or a trade whose
    session was just closing. A `sibling` frame is an order book or an index.
    """

    at: int
    app_key: int | None
    session: int
    kind: Kind
    records: tuple[SentRecord, ...] = ()
    raw: bytes | None = None
    reason: str | None = None
    binary: bool = False
    encrypted: bool = False
    copy: bool = False

    @property
    def count(self) -> int:
        """The number of records in the frame."""
        return len(self.records)


class SentLog:
    """Logs what was sent. After `flush`, readers of the file see everything logged before."""

    def __init__(self, *, keep: bool) -> None:
        self.sent: list[Sent] = []
        self._keep = keep
        self._file: TextIO | None = None

    def open(self, path: Path | None) -> None:
        """Also log to the file at `path`, at its end, unless `path` is None."""
        if path is not None:
            self._file = path.open("a", encoding="utf-8")

    def add(self, sent: Sent) -> None:
        """Log one frame."""
        if self._keep:
            self.sent.append(sent)
        if self._file is not None:
            self._file.write(json.dumps(_line(sent), ensure_ascii=False, separators=(",", ":")) + "\n")

    def flush(self) -> None:
        """Pass everything logged so far to the operating system."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Flush and close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _line(sent: Sent) -> dict[str, Any]:
    line: dict[str, Any] = {
        "at": sent.at,
        "app_key": sent.app_key,
        "session": sent.session,
        "kind": sent.kind,
        "count": sent.count,
    }
    line["records"] = [
        {"tr_key": record.tr_key, "raw": record.raw, "good": record.reason is None} for record in sent.records
    ]
    for entry, record in zip(line["records"], sent.records, strict=True):
        if record.reason is not None:
            entry["reason"] = record.reason
    line |= {name: True for name in ("binary", "encrypted", "copy") if getattr(sent, name)}
    if sent.reason is not None:
        line["reason"] = sent.reason
    if sent.raw is not None:
        try:
            line["raw"] = sent.raw.decode()
        except UnicodeDecodeError:
            line["raw_base64"] = base64.b64encode(sent.raw).decode()
    return line
