"""Looks at the files that hold secrets, so that one that vanished or was spoilt is told of before it is needed again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Never

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

LOOK_SECONDS: Final = 30.0

log = structlog.get_logger("connector.secret_watch")


class SecretWatch:
    """`problems` holds for each file what is wrong with it, None where nothing is; `changed_at` when it was last written (epoch seconds).

    `look` returns the problems, and may wait for the disk: it is called in a thread.
    """

    def __init__(self, look: Callable[[], Mapping[Path, str | None]], pause_seconds: float = LOOK_SECONDS) -> None:
        self._look = look
        self._pause_seconds = pause_seconds
        self.problems: dict[Path, str | None] = {}
        self.changed_at: dict[Path, float] = {}

    async def run(self) -> Never:
        """Look until cancelled."""
        while True:
            found, written = await asyncio.to_thread(self._look_at_all)
            for path, problem in found.items():
                self._tell(path, self.problems.get(path), problem)
            self.problems = found
            self.changed_at |= written
            await asyncio.sleep(self._pause_seconds)

    def _look_at_all(self) -> tuple[dict[Path, str | None], dict[Path, float]]:
        found, written = dict(self._look()), {}
        for path in found:
            try:
                written[path] = path.stat().st_mtime
            except OSError:  # told of by its reader; the time it was seen with last stays
                continue
        return found, written

    @staticmethod
    def _tell(path: Path, before: str | None, problem: str | None) -> None:
        if problem and problem != before:
            log.error("secret_unreadable", file=str(path), problem=problem, used="the value read before")
        elif before and not problem:
            log.warning("secret_readable_again", file=str(path))


def look_at(paths: Iterable[Path | None]) -> dict[Path, str | None]:
    """Return what is wrong with each file that is named: it cannot be read, or holds nothing."""
    return {path: _problem(path) for path in paths if path is not None}


def _problem(path: Path) -> str | None:
    try:
        return None if path.read_bytes().strip() else f"{path}: is empty: write the value into it"
    except OSError as error:
        return f"{path}: could not be read ({error.strerror}): put the file back or correct its permissions"
