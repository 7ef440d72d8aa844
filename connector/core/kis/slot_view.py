"""One slot as the status topic and the pages show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.kis.bond_registration import RegistrationView

SlotState = Literal["CONNECTED", "CONNECTING", "BLOCKED", "IDLE"]


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot's state, and its bonds by ISIN."""

    slot: int
    state: SlotState
    capacity: int
    registered: int
    code: str | None
    message: str | None
    registrations: Mapping[str, RegistrationView]
