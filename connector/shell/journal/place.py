"""Where the journal is, and what file of the earlier kind is there to take over."""

import contextlib
import fcntl
import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from connector.errors import JournalUnusable

log = structlog.get_logger("connector.journal")

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
        return Place(path, earlier if _is_earlier(earlier) else None)
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
    with Path(f"{path}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalUnusable(f"The journal {path} is held by another instance. Stop that one.") from error
        yield


def rename(path: Path, new: Path) -> None:
    """Rename an SQLite file and its log; the log comes first, so that it is never alone.

    Raises OSError, and JournalUnusable rather than replace a file.
    """
    refuse_taken(new)
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{new}{suffix}")


def refuse_taken(new: Path) -> None:
    """Raise JournalUnusable if there is something where a file is to be renamed to."""
    if new.exists() or new.is_symlink():
        raise JournalUnusable(f"{new} is in the way of a journal that is to get this name. Move it elsewhere.")


def refuse_successor(path: Path) -> None:
    """Raise JournalUnusable if the earlier version has begun another file and not renamed it."""
    for each in path.parent.glob(f"{glob.escape(path.name)}.*"):
        if each.suffix[1:].isdecimal():
            raise JournalUnusable(
                f"{each} has newer frames than {path}. Start and stop the earlier version once: it joins the two."
            )
