"""Reads and replaces the user's copy of the bond master as a whole.

The path of the copy follows the XDG base directory specification, so that commands on a laptop find
the copy without a setting or a journal.
"""

from __future__ import annotations

import os
from pathlib import Path

from connector import small_file
from connector.core.bonds.master import MAX_BYTES
from connector.errors import RequestMalformed


class NotThere(RequestMalformed):
    """The file does not exist."""


def default_path() -> Path | None:
    """Return the path of the copy, or None for a user without a home.

    The copy is below $XDG_CACHE_HOME if that is an absolute path, or else below ~/.cache.
    """
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        base = configured if configured.is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # the user of a container may have no home
        return None
    return base / "kis-bond" / "bond_code.mst"


def read(path: Path) -> bytes:
    """Return a file's content.

    Raises NotThere if the file is missing. Raises RequestMalformed if the file is not a regular
    file, cannot be read, or is larger than MAX_BYTES.
    """
    try:
        return small_file.read(path, MAX_BYTES)
    except FileNotFoundError:
        raise NotThere(f"There is no file {path}.") from None
    except OSError as error:
        raise RequestMalformed(f"{path} could not be read: {error.strerror}.") from error


def replace(path: Path, content: bytes) -> None:
    """Replace the file by `content` in one step, and create missing folders.

    If that fails, RequestMalformed is raised and the old file stays unchanged. Anything but a
    regular file, such as a device or a pipe, is never replaced.
    """
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            raise RequestMalformed(
                f"{path} could not be written: it is not a regular file. Give another place with --to."
            )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise RequestMalformed(
            f"{path} could not be written: {error.strerror}. Give another place with --to."
        ) from error
