"""Reads a file that holds one secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 64 * 2**10


def read_secret(path: Path) -> str:
    """Return the secret without what editors add: a leading byte order mark and one line end.

    Blanks stay, because they may be part of a password. Raises OSError or ValueError.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    return content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
