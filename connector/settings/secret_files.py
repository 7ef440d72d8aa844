"""Reads a file that holds one secret."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 64 * 2**10


def refuse_pipe(path: Path) -> None:
    """Raise OSError if the path is a pipe, because opening it could wait for ever."""
    if path.is_fifo():
        raise OSError(errno.EINVAL, "it is not a regular file")


def read_secret(path: Path) -> str:
    """Return the secret without what editors add: a leading byte order mark and one line end.

    Blanks stay, because they may be part of a password. Raises OSError or ValueError.
    """
    refuse_pipe(path)
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    return content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
