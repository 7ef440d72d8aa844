"""Keeps the access token in a private file, so that a restart need not ask for a new one."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

import structlog

from connector import small_file
from connector.core.kis.access_token import from_text, to_text

if TYPE_CHECKING:
    from pathlib import Path

    from connector.core.kis.access_token import AccessToken

MOST_BYTES: Final = 16 * 1024

log = structlog.get_logger("connector.access_token")


class TokenFile:
    """The file at `audit.token_path`. Without it, the token lives in memory only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> AccessToken | None:
        """Return the token of the file, or None if there is none that can be used.

        A file that belongs to another user, or that others may read, is not used.
        """
        try:
            found = self._path.lstat()
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                log.warning("token_file_unused", path=str(self._path), reason="it is not private to this user")
                return None
            return from_text(small_file.read(self._path, MOST_BYTES).decode())
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            log.warning("token_file_unused", path=str(self._path), reason=type(error).__name__)
            return None

    def write(self, token: AccessToken) -> None:
        """Replace the file whole, with mode 0600. A failure is logged."""
        spare = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileNotFoundError):
                spare.unlink()
            fd = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
                file.write(to_text(token))
            spare.replace(self._path)
        except OSError as error:
            log.warning("token_not_kept", path=str(self._path), reason=error.strerror)
