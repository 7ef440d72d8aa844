"""The bond master as a file of this user's: read whole, replaced whole.

The place follows the XDG base directory specification: commands on a laptop know it without a setting or a journal.
"""

from __future__ import annotations

import os
from pathlib import Path

from connector.core.bonds.master import MAX_BYTES
from connector.errors import RequestMalformed


class NotThere(RequestMalformed):
    """There is no such file."""


def default_path() -> Path | None:
    """Return where the master is kept: below $XDG_CACHE_HOME if that is absolute, else below ~/.cache; None for a user without a home."""
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        base = configured if configured.is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # a container's user id need not have one
        return None
    return base / "kis-bond" / "bond_code.mst"


def read(path: Path) -> bytes:
    """Return a file's content. Raises NotThere, or RequestMalformed where it is no regular file, unreadable or larger than MAX_BYTES."""
    try:
        if path.exists() and not path.is_file():  # a pipe would not end, or not begin
            raise RequestMalformed(f"{path} is not a regular file.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotThere(f"There is no file {path}.") from None
    except OSError as error:
        raise RequestMalformed(f"{path} could not be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise RequestMalformed(f"{path} is larger than {MAX_BYTES >> 20} MiB.")
    return content


def keep(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file, whole. Raises RequestMalformed, and the file is as it was. Missing folders are made."""
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
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
