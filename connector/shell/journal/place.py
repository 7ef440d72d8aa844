"""Where the journal is: its folder, or a file of the earlier kind to take over."""

from pathlib import Path
from typing import Final, NamedTuple

import structlog

from connector.errors import JournalUnusable
from connector.shell.journal.earlier_names import held, refuse_successor, rename

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
