"""Reads a file that holds one secret."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final

from connector import small_file

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 64 * 2**10
MAX_PEM_BYTES: Final = 4 * 2**20  # a file of certificates, which others read; the system's CAs take 0.3 MiB
# Neither SASL nor HTTP allows control characters in a password; a tab is left to the server.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class NotOneLine(OSError):
    """The file holds something other than one line of UTF-8 text; `strerror` says what."""

    def __init__(self, problem: str) -> None:
        super().__init__(errno.EILSEQ, problem)


def read_secret(path: Path) -> str:
    """Return the secret without what editors add: a leading byte order mark and one line end.

    Blanks stay, because they may be part of a password. Raises OSError, of which NotOneLine is one
    kind.
    """
    try:
        secret = small_file.read(path, MAX_BYTES).decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise NotOneLine("is not UTF-8 text") from None
    if _CONTROL.search(secret):
        raise NotOneLine("holds several lines or a control character")
    return secret
