"""Reads small files whole: at most so many bytes, and without waiting for a writer."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK: Final = 2**18


class NotRegular(OSError):
    """The path leads to something that need not ever give its end, such as a named pipe."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file")


class TooLarge(OSError):
    """The file has more bytes than its reader takes."""

    def __init__(self, most: int) -> None:
        super().__init__(errno.EFBIG, f"it has more than {_size(most)}")


def read(path: Path, most: int, *, may_be_shell_pipe: bool = False) -> bytes:
    """Return the content of a file of at most `most` bytes.

    A device is read as far as it answers at once. With `may_be_shell_pipe`, the pipe that a shell
    made for this process (`<(...)`, `/dev/stdin`) is read to its end, because its writer has
    already been started; a pipe that lies in a folder is refused, because it may never get one.
    Raises OSError, of which NotRegular and TooLarge are two kinds.
    """
    is_shell_pipe = False
    if stat.S_ISFIFO(path.stat().st_mode):
        # The pipe of a shell leads to no path: /dev/fd/63 is pipe:[4711].
        is_shell_pipe = not os.path.exists(os.path.realpath(path))  # noqa: PTH110 - Path.resolve fails on /proc links
        if not (is_shell_pipe and may_be_shell_pipe):
            raise NotRegular
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | (0 if is_shell_pipe else os.O_NONBLOCK))
    try:
        return _to_end(descriptor, most)
    except BlockingIOError:  # a terminal, or a pipe that has replaced the file in this moment
        raise NotRegular from None
    finally:
        os.close(descriptor)


def read_stdin(most: int) -> bytes:
    """Return standard input to its end, at most `most` bytes: a file, pipe or socket.

    Waits for its writer, because the user named it. Raises OSError, of which TooLarge is a kind.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed")
    return _to_end(sys.stdin.fileno(), most, waits=True)


def _to_end(descriptor: int, most: int, *, waits: bool = False) -> bytes:
    content = bytearray()
    while True:
        if waits:  # another process may have made the descriptor non-blocking
            select.select([descriptor], [], [])
        chunk = os.read(descriptor, min(_CHUNK, most + 1 - len(content)))
        if not chunk:
            return bytes(content)
        content += chunk
        if len(content) > most:
            raise TooLarge(most)


def _size(most: int) -> str:
    return f"{most // 2**20} MiB" if most % 2**20 == 0 else f"{most // 2**10} KiB"
