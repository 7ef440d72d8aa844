"""What a session orders or reports: frozen values that the owner of the socket carries out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.core.kis.governor import Cause


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame; a request holds the approval key."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Echo:
    """Answer a PINGPONG with its identical text, before anything else is sent."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection."""

    cause: Cause
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class ReissueKey:
    """Ask for a new approval key after `wait` seconds, and hand it to `key_reissued`."""

    wait: float


@dataclass(frozen=True, slots=True)
class Refused:
    """KIS refused one bond, or had no room for it."""

    isin: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Strange:
    """A JSON message could not be read; its content must not be logged."""

    why: str


Effect = Send | Echo | Close | ReissueKey | Refused | Strange
