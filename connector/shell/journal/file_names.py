"""Names of a journal's files: the journal, its successors, and files set aside.

A file is renamed only while nobody has it open. SQLite finds a file's log by name, so after a
rename it would use or delete the log of another file. An unfit file therefore keeps its name while
the process runs, and its successor is called `<path>.1` and so on. The next stop or start renames
both files.
"""

import contextlib
import os
import re
import time
from pathlib import Path

BESIDE = ("-wal", "-shm", "")  # the database is renamed last, so that its log never remains alone


def create(path: Path) -> None:
    """Create an empty private file. Raises FileExistsError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def partial(path: Path) -> Path:
    """Return the name of a file under construction, and remove any remains of an earlier try."""
    name = Path(f"{path}.partial")
    for suffix in BESIDE:
        Path(f"{name}{suffix}").unlink(missing_ok=True)
    return name


def successor(path: Path) -> Path:
    """Return the next free name for a successor of `path`."""
    return Path(f"{path}.{max(_numbers(path), default=0) + 1}")


def set_aside(path: Path) -> Path:
    """Rename a file and its log, which nobody may have open; return the new name."""
    moment = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{time.monotonic_ns() % 10**9:09d}"
    return _rename(path, path.with_name(f"{re.sub(r'[.][0-9]+$', '', path.name)}.corrupt-{moment}"))


def promote_successor(path: Path) -> list[Path]:
    """Rename the latest successor, if any, to `path`; return the new names of the older files."""
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
