"""Reads the file of a secret, or remembers what it held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connector.settings.secret_files import read_secret

if TYPE_CHECKING:
    from pathlib import Path

# All parts of this process share what was read.
_last_good: Final[dict[Path, str]] = {}


def read_or_last_good(path: Path) -> str:
    """Return the secret of a file; if it is unreadable or empty, what it held before.

    The watch over the files tells of such a file. Raises OSError if it could never be read.
    """
    try:
        secret = read_secret(path)
    except OSError:
        if path not in _last_good:
            raise
        return _last_good[path]
    if not secret.strip():  # an editor may empty a file before it writes into it
        return _last_good.get(path, secret)
    _last_good[path] = secret
    return secret
