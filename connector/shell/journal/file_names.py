"""The names under which a journal's files lie: itself, its successors while a process runs, and those set aside.

A file is renamed only while nobody has it open: SQLite finds its log by name, and would take, or delete, that of the new file. So a file
that became unfit stays where it is, its successor is `<path>.1` and so on, and the names are put right at the next stop or start.
"""

import contextlib
import os
import re
import time
from pathlib import Path

BESIDE = ("-wal", "-shm", "")  # the database last: whoever finds its name finds the rest


def create(path: Path) -> None:
    """Make an empty file, private. Raises FileExistsError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def partial(path: Path) -> Path:
    """Return a name for a file that is being made, and remove what an earlier try left there."""
    name = Path(f"{path}.partial")
    for suffix in BESIDE:
        Path(f"{name}{suffix}").unlink(missing_ok=True)
    return name


def successor(path: Path) -> Path:
    """Return the next free name for a successor of `path`."""
    return Path(f"{path}.{max(_numbers(path), default=0) + 1}")


def set_aside(path: Path) -> Path:
    """Give a file that nobody has open, with its log, a new name, and return that."""
    moment = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{time.monotonic_ns() % 10**9:09d}"
    return _rename(path, path.with_name(f"{re.sub(r'[.][0-9]+$', '', path.name)}.corrupt-{moment}"))


def settle(path: Path) -> list[Path]:
    """Put the latest successor, if there is one, in the place of `path`, which nobody has open; return the new names of the others."""
    numbers = sorted(_numbers(path))
    aside = [
        set_aside(old)
        for old in (path, *(Path(f"{path}.{number}") for number in numbers[:-1]))
        if numbers and old.exists()
    ]
    if numbers:
        _rename(Path(f"{path}.{numbers[-1]}"), path)
    return aside


def _numbers(path: Path) -> list[int]:
    return [
        int(found.name[len(path.name) + 1 :])
        for found in path.parent.glob(f"{path.name}.*")
        if found.name[len(path.name) + 1 :].isdecimal()
    ]


def _rename(old: Path, new: Path) -> Path:
    for suffix in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{old}{suffix}").rename(f"{new}{suffix}")
    return new
