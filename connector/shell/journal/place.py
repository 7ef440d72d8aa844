"""Where the journal is: its folder, or a file of the earlier kind to take over."""

import contextlib
import fcntl
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from connector.errors import JournalUnusable

log = structlog.get_logger("connector.journal")

SUFFIXES: Final = ("-wal", "-shm", "")
SQLITE: Final = b"SQLite format 3\0"


class Place(NamedTuple):
    """The journal's folder, and the file of the earlier kind to take over, or None."""

    folder: Path
    earlier: Path | None


def place(path: Path, *, is_trial: bool = False) -> Place:
    """Return where the journal is; a trial renames nothing.

    Raises OSError, and JournalUnusable if the path names a file that is no journal, or one that
    another process holds.
    """
    if path.is_file() and not _is_earlier(path):
        raise JournalUnusable(f"journal.path {path} is a file, and no journal. Set it to a folder.")
    if path.is_dir() or path.suffix != ".db":
        if path.is_file() and not is_trial:  # an earlier journal whose name the folder needs
            refuse_successor(path)
            with held(path):
                rename(path, Path(f"{path}.db"))
        earlier = Path(f"{path}.db")
        if _is_earlier(earlier):
            return Place(path, earlier)
        if earlier.is_file():
            log.warning("journal_file_ignored", file=str(earlier), fix="if it is a journal, mend its beginning")
        return Place(path, None)
    log.warning("journal_path_is_a_folder", given=str(path), used=str(path.with_suffix("")), fix="leave out .db")
    return Place(path.with_suffix(""), path if path.is_file() else None)


def _is_earlier(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


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
    """Raise JournalUnusable if the earlier version has begun another file and not renamed it."""
    for each in path.parent.glob(f"{glob.escape(path.name)}.*"):
        if each.suffix[1:].isdecimal():
            raise JournalUnusable(
                f"{each} may have newer frames than {path}. If it is a copy, move it elsewhere. "
                "Otherwise start and stop the earlier version once, which joins the two."
            )
