"""Opens a journal's folder and files without its lock, beside a running connector."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from connector.errors import JournalUnusable, RequestMalformed


@contextlib.contextmanager
def unlocked(path: Path) -> Iterator[None]:
    """Turn the errors of reading a journal's folder into errors that name it."""
    try:
        yield
    except FileNotFoundError:
        raise RequestMalformed(f"There is no journal in {path}. Give its folder with --journal.") from None
    except NotADirectoryError:
        raise RequestMalformed(f"{path} is not a folder, and so no journal. Give one with --journal.") from None
    except OSError as error:
        raise JournalUnusable(f"The journal {path} could not be read: {error.strerror}.") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int | None]:
    """Give the descriptor of a file of the journal, None if the disk does not give it.

    Raises FileNotFoundError if it was deleted meanwhile, and JournalUnusable if this user may not
    read it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise JournalUnusable(f"The journal {path.parent} could not be read: {error.strerror}.") from error
    except OSError:
        yield None
        return
    try:
        yield fd if stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)
