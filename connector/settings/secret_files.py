"""Reads a file that holds one secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connector import small_file

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 64 * 2**10
MAX_PEM_BYTES: Final = 4 * 2**20  # a file of certificates, which others read; the system's CAs take 0.3 MiB


def read_secret(path: Path) -> str:
    """Return the secret without what editors add: a leading byte order mark and one line end.

    Blanks stay, because they may be part of a password. Raises OSError or ValueError.
    """
    return small_file.read(path, MAX_BYTES).decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
