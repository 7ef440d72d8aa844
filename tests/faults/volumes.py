"""Small volumes for a journal, with their faults: full, hanging, without power. Needs root."""

import contextlib
import fcntl
import os
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

MIB = 2**20
# linux/ext4: EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, which xfstests calls "godown". The
# file system drops everything that no sync has put on the disk, even its own log, and refuses all
# further work: to the disk it is a power cut.
_SHUTDOWN, _WITHOUT_LOG = 0x8004587D, 2


@contextlib.contextmanager
def of_memory(folder: Path, mib: int) -> Iterator[None]:
    """Mount a tmpfs of this size on a new folder."""
    folder.mkdir(mode=0o700)
    _run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", str(folder))
    try:
        yield
    finally:
        _run("umount", "-l", str(folder))


class Disk:
    """An ext4 of 96 MiB in a file, mounted on a new folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._image = folder.with_name(f"{folder.name}.img")
        folder.mkdir(mode=0o700)
        with self._image.open("wb") as image:
            image.truncate(96 * MIB)
        _run("mkfs.ext4", "-q", "-m", "0", str(self._image))
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.folder))
        self.folder.chmod(0o700)

    def freeze(self) -> None:
        """Make every write and sync hang until `thaw`."""
        _run("fsfreeze", "--freeze", str(self.folder))

    def thaw(self) -> None:
        """Let the hanging calls go on."""
        _run("fsfreeze", "--unfreeze", str(self.folder))

    def cut_the_power(self) -> None:
        """Drop everything that is not synced; every further write fails."""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
        finally:
            os.close(folder)

    def restart(self) -> None:
        """Mount it again after a power cut; no process may have a file open on it."""
        _run("umount", str(self.folder))
        self._mount()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Unmount the disk and delete its file."""
        with contextlib.suppress(subprocess.CalledProcessError):  # it is not frozen
            self.thaw()
        _run("umount", "-l", str(self.folder))
        self._image.unlink(missing_ok=True)


def why_no_disk() -> str | None:
    """Return why no `Disk` can be mounted here, as in a container without loop devices, or None."""
    try:
        with tempfile.TemporaryDirectory() as folder, Disk(Path(folder) / "disk"):
            return None
    except FileNotFoundError as error:
        return f"it needs a disk of its own: {error}"
    except subprocess.CalledProcessError as error:
        return f"it needs a disk of its own: {' '.join(error.stderr.decode(errors='replace').split()) or error}"


@contextlib.contextmanager
def full(folder: Path) -> Iterator[Callable[[], None]]:
    """Fill a volume until the end of the block; the function fills what was freed meanwhile."""
    path = folder / "filler"

    def fill() -> None:
        with path.open("ab", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"\0" * 4096)

    fill()
    try:
        yield fill
    finally:
        path.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
