"""Checks the files that hold secrets, to report a lost file before it is needed again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Never

import structlog

from connector import small_file
from connector.settings.secret_files import MAX_PEM_BYTES, NotOneLine, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

LOOK_SECONDS: Final = 30.0

log = structlog.get_logger("connector.secret_watch")


class SecretWatch:
    """Looks at secret files at intervals, and logs when one becomes unreadable or readable again.

    `problems` holds what is wrong with each file, or None if it is usable. `changed_at` holds when
    each file was last written (epoch seconds). `look` returns the problems. We call it in a thread,
    because it may wait for the disk.
    """

    def __init__(self, look: Callable[[], Mapping[Path, str | None]], pause_seconds: float = LOOK_SECONDS) -> None:
        self._look = look
        self._pause_seconds = pause_seconds
        self.problems: dict[Path, str | None] = {}
        self.changed_at: dict[Path, float] = {}

    async def run(self) -> Never:
        """Look until cancelled."""
        while True:
            problems, changed_at = await asyncio.to_thread(self._look_at_all)
            for path, problem in problems.items():
                self._log_change(path, self.problems.get(path), problem)
            self.problems = problems
            self.changed_at |= changed_at
            await asyncio.sleep(self._pause_seconds)

    def _look_at_all(self) -> tuple[dict[Path, str | None], dict[Path, float]]:
        problems, changed_at = dict(self._look()), {}
        for path in problems:
            try:
                changed_at[path] = path.stat().st_mtime
            except OSError:  # `look` reports the error; the last known time stays
                continue
        return problems, changed_at

    @staticmethod
    def _log_change(path: Path, before: str | None, problem: str | None) -> None:
        if problem and problem != before:
            log.error("secret_unreadable", file=str(path), problem=problem, used="the value read before")
        elif before and not problem:
            log.warning("secret_readable_again", file=str(path))


def look_at(files: Iterable[Path | None], secrets: Iterable[Path | None] = ()) -> dict[Path, str | None]:
    """Return the problem of each file (unreadable or empty), or None. Unset paths are skipped.

    Each of `secrets` must also be one line of text.
    """
    of_files = {path: _problem(path, _read_whole) for path in files if path is not None}
    return of_files | {path: _problem(path, read_secret) for path in secrets if path is not None}


def _read_whole(path: Path) -> bytes:
    return small_file.read(path, MAX_PEM_BYTES)


def _problem(path: Path, read: Callable[[Path], str | bytes]) -> str | None:
    try:
        return None if read(path).strip() else f"{path}: is empty: write the value into it"
    except NotOneLine as error:
        return f"{path}: {error.strerror}: write nothing but the secret into it, as one line"
    except OSError as error:
        return f"{path}: could not be read ({error.strerror}): put the file back or correct its permissions"
