"""Writes recordings, and reads them as files that a stranger may have made."""

import contextlib
import gzip
import os
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from connector.core.ticks.frame import Received
from connector.core.ticks.recording import FIRST_LINE, MOST_LINE_BYTES, BadLine, check_first_line, from_line, to_line
from connector.errors import NotInTime, RequestMalformed

COMPRESSION: Final = 6
_GATHERED_BYTES: Final = 1 << 16


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Callable[[Received], None]]:
    """Give a function that adds a frame. The file appears under its name once it is complete.

    Raises RequestMalformed if the file exists or its folder cannot be written, and NotInTime if
    writing fails later.
    """
    if os.path.lexists(path):
        raise RequestMalformed(f"{path} exists already. Give the name of a new file.")
    try:
        fd, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    except OSError as error:
        raise RequestMalformed(f"{path} could not be created: {error.strerror}.") from None
    try:
        with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor
            with gzip.GzipFile("", "wb", COMPRESSION, file, 0) as compressed:
                gathered = bytearray(FIRST_LINE)

                def add(frame: Received) -> None:
                    gathered.extend(to_line(frame))
                    if len(gathered) >= _GATHERED_BYTES:
                        compressed.write(gathered)
                        gathered.clear()

                yield add
                compressed.write(gathered)
            file.flush()
            os.fsync(fd)
        Path(unfinished).rename(path)
    except OSError as error:
        raise NotInTime(f"{path} could not be written: {error.strerror}.") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)  # noqa: PTH108 - a string


def frames(path: Path) -> Iterator[Received]:
    """Yield the frames of a recording in its order.

    At most one line is in memory. Raises RequestMalformed, which names the line, if the file is not
    a whole recording.
    """
    for number, line in enumerate(_lines(path), start=1):
        try:
            if number == 1:
                check_first_line(line)
            else:
                yield from_line(line)
        except BadLine as bad:
            raise RequestMalformed(f"{path}, line {number}: {bad}.") from None


def _lines(path: Path) -> Iterator[bytes]:
    try:
        # Without a wait: a named pipe would keep us until somebody writes to it.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise RequestMalformed(f"{path} is not a regular file.")
            with gzip.GzipFile(fileobj=file) as plain:
                number = 0
                while line := plain.readline(MOST_LINE_BYTES + 1):
                    number += 1
                    if len(line) > MOST_LINE_BYTES:
                        raise RequestMalformed(f"{path}, line {number}: has more than {MOST_LINE_BYTES:,} bytes.")
                    yield line
                if not number:
                    raise RequestMalformed(f"{path} is empty.")
    except EOFError:
        raise RequestMalformed(f"{path} was cut off: its gzip data has no end. Copy or record it again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise RequestMalformed(f"{path} is no gzip file, or is damaged: {error}.") from None
    except OSError as error:
        raise RequestMalformed(f"{path} could not be read: {error.strerror}.") from None
