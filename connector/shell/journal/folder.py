"""The journal's folder: one process holds it, and each file in it is private to one user."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from connector.errors import JournalUnusable

LOCK: Final = "lock"
MOST_READ_BYTES: Final = 256 * 2**20  # of a small file; ours have some kB, and waiting events some MB


class Foreign(JournalUnusable, OSError):
    """Something in the folder is not the journal's.

    At a start this ends the connector. Later it is trouble of the disk like any other.
    """

    def __str__(self) -> str:
        return str(self.args[0])


class Folder:
    """An open folder. Files are named relative to it, so no name leads out of it."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """Open the folder. Raises JournalUnusable."""
        self.path = path
        try:
            if create and not path.exists():
                path.mkdir(parents=True, mode=0o700)
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise JournalUnusable(
                f"The journal's folder {path} cannot be used: {error.strerror}. "
                "Set journal.path to a folder that this user may write, not to a file or a symbolic link."
            ) from error
        found = os.fstat(self.fd)
        self.mode = found.st_mode & 0o777
        if found.st_uid not in (0, os.geteuid()):  # Kubernetes mounts volumes as root
            os.close(self.fd)
            raise JournalUnusable(
                f"The journal's folder {path} belongs to uid {found.st_uid}, not to this user (uid {os.geteuid()}). "
                "Change its owner, or set journal.path to another folder."
            )
        self._lock: int | None = None

    def check(self, name: str) -> None:
        """Raise Foreign if something of this name is no regular file."""
        try:
            mode = os.lstat(name, dir_fd=self.fd).st_mode
        except OSError:  # there is none, or the disk fails: who opens it learns that
            return
        if not stat.S_ISREG(mode):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise Foreign(f"{self.path / name} is {kind}, and so not the journal's. Remove it.")

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Open a file of this user and make it private. Raises OSError, which may be Foreign."""
        self.check(name)
        fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            os.close(fd)
            raise Foreign(
                f"The journal's file {self.path / name} belongs to uid {found.st_uid}, not to this user "
                f"(uid {os.geteuid()}). Change its owner, or set journal.path to another folder."
            )
        if found.st_mode & 0o7777 != 0o600:
            os.fchmod(fd, 0o600)
        return fd

    @contextlib.contextmanager
    def opened(self, name: str, flags: int = os.O_RDONLY) -> Iterator[int]:
        """Give the descriptor of a file for a while. Raises OSError, which may be Foreign."""
        fd = self.open(name, flags)
        try:
            yield fd
        finally:
            os.close(fd)

    def lock(self) -> int | None:
        """Take the lock; return None, or the process that holds it (0 if unknown)."""
        try:
            fd = self.open(LOCK, os.O_RDWR | os.O_CREAT)
        except Foreign:
            raise
        except OSError as error:
            raise JournalUnusable(
                f"The journal's folder {self.path} is not writable: {error.strerror}. "
                "Set journal.path to a folder this user may write."
            ) from error
        try:
            for held in (fd, self.fd):  # the folder too: somebody may remove the file by hand
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 20, 0)
            os.close(fd)
            return int(holder) if holder.isdigit() else 0
        except OSError as error:
            os.close(fd)
            raise JournalUnusable(
                f"The journal {self.path} could not be locked: {error.strerror}. It needs a local file system."
            ) from error
        self._lock = fd
        with contextlib.suppress(OSError):  # on a full volume the lock holds all the same
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d" % os.getpid(), 0)
        return None

    def names(self) -> list[str]:
        """Return the names of all files, in order."""
        return sorted(os.listdir(self.fd))  # noqa: PTH208 - a descriptor

    def read(self, name: str) -> bytes | None:
        """Return a small file's content, or None if it does not exist.

        Of a file that is too large to be ours, the beginning is returned.
        """
        try:
            with open(self.open(name), "rb") as file:  # noqa: PTH123 - a descriptor
                return file.read(MOST_READ_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            error.filename = str(self.path / name)  # which a failed read does not name
            raise

    def replace(self, name: str, content: bytes) -> None:
        """Replace a file so that, whatever happens, it has the old content or the new.

        A spare file stays, whose blocks the next replacement uses: so a volume that has become
        full still takes it.
        """
        spare = f"{name}.new"
        self.check(name)
        with self.opened(spare, os.O_WRONLY | os.O_CREAT) as fd:
            write_all(fd, content)
            os.ftruncate(fd, len(content))
            os.fsync(fd)
        self.rename(spare, name)
        self.sync()
        with contextlib.suppress(OSError), self.opened(spare, os.O_WRONLY | os.O_CREAT) as fd:
            os.posix_fallocate(fd, 0, len(content))

    def rename(self, old: str, new: str) -> None:
        """Rename a file over any other."""
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def unlink(self, name: str) -> None:
        """Remove a file, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def sync(self) -> None:
        """Sync the names of the files."""
        os.fsync(self.fd)

    def close(self) -> None:
        """Close the folder and release the lock."""
        for fd in (self._lock, self.fd):
            if fd is not None:
                os.close(fd)
        self._lock = None


def write_all(fd: int, content: bytes) -> None:
    """Write all bytes; a disk with room takes them in one call."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
