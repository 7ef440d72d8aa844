"""What a session orders or reports: frozen values that the owner of the socket obeys or logs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connector.core.kis.probe import Lost

if TYPE_CHECKING:
    from connector.core.kis.backoff import Cause


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame, which holds the approval key."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Echo:
    """Send the text of a PINGPONG back unchanged, before anything else."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection."""

    cause: Cause
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class ReissueKey:
    """Ask for a new approval key after `wait` seconds, and hand the key to `key_reissued`."""

    wait: float


@dataclass(frozen=True, slots=True)
class Refused:
    """KIS did not confirm what we asked for this bond; `code` and `message` say why.

    `isin` is None if we cannot tell which request the error answers.
    """

    isin: str | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Strange:
    """A JSON message could not be read. The message must not be logged."""

    why: str


Effect = Send | Echo | Close | ReissueKey | Refused | Strange | Lost
