"""The files that a journal of the earlier kind consists of, by name: none is ever replaced."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from connector.errors import JournalUnusable

SUFFIXES: Final = ("-wal", "-shm", "")


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file of the earlier kind as its own version does. Raises OSError, JournalUnusable."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    lock = os.open(f"{path}.lock", flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise JournalUnusable(f"The journal {path} is held by another instance. Stop that one.") from error
    try:
        yield
    finally:
        os.close(lock)


def rename(path: Path, new: Path) -> None:
    """Rename an SQLite file and its log; the log comes first, so that it is never alone.

    Raises OSError, and JournalUnusable rather than replace a file.
    """
    log, its_name = f"{new}-wal", f"{path}-wal"
    if os.path.lexists(log) and not os.path.lexists(its_name) and not os.path.lexists(new):
        raise JournalUnusable(
            f"{log} is in the way of {path}, which is to be renamed. It may be the log of {path}, with frames: "
            f"if nothing else has put it there, name it {its_name}. Otherwise move it elsewhere."
        )
    refuse_taken(new)
    for suffix in SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{new}{suffix}")


def refuse_taken(new: Path) -> None:
    """Raise JournalUnusable if there is something where a file or its log is to be renamed to."""
    for each in (f"{new}{suffix}" for suffix in (*SUFFIXES, "-journal")):
        if os.path.lexists(each):
            raise JournalUnusable(f"{each} is in the way of a journal that is to get this name. Move it elsewhere.")


def refuse_successor(path: Path) -> None:
    """Raise JournalUnusable if the earlier version has begun another file and not renamed it.

    Raises OSError.
    """
    for name in os.listdir(path.parent):  # noqa: PTH208 - unlike glob, it says if it may not
        if name.startswith(f"{path.name}.") and name.removeprefix(f"{path.name}.").isdecimal():
            raise JournalUnusable(
                f"{path.parent / name} may have newer frames than {path}. If it is a copy, move it elsewhere. "
                "Otherwise start and stop the earlier version once, which joins the two."
            )
