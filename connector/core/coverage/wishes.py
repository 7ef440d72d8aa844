"""What the status topic says of bonds and slots, as far as the auditor needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connector.core.bonds.isin import has_shape
from connector.core.coverage.dates import parsed_ms
from connector.core.record_keys import INSTRUMENT, SLOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.coverage.facts import Facts

_MOST_DIGITS: Final = 6  # of a slot's number


class SlotState(NamedTuple):
    """One slot: whether it has a session, and how many frames its owner has not delivered.

    `pending` is None if the record does not say.
    """

    state: str
    pending: int | None


@dataclass(slots=True)
class Wishes:
    """`slot_of` has each wanted bond with its slot or None; `slots` the latest state of each."""

    slot_of: dict[str, int | None] = field(default_factory=dict)
    slots: dict[int, SlotState] = field(default_factory=dict)

    def record(self, key: str, value: Mapping[str, Any] | None, facts: Facts) -> None:
        """Take in one status record; a tombstone has the value None. Other records are ignored."""
        if key.startswith(INSTRUMENT) and has_shape(isin := key.removeprefix(INSTRUMENT)):
            self._bond(isin, value, facts)
        elif key.startswith(SLOT) and _is_number(number := key.removeprefix(SLOT)):
            self._slot(int(number), value, facts)

    def _bond(self, isin: str, value: Mapping[str, Any] | None, facts: Facts) -> None:
        if value is None:
            self.slot_of.pop(isin, None)
            return
        slot = value.get("slot")
        self.slot_of[isin] = slot if type(slot) is int else None
        facts.wanted_since(isin, parsed_ms(value.get("wanted_since")))

    def _slot(self, slot: int, value: Mapping[str, Any] | None, facts: Facts) -> None:
        if value is None:
            self.slots.pop(slot, None)
            return
        pending, state = value.get("pending"), value.get("state")
        self.slots[slot] = SlotState(str(state), pending if type(pending) is int and pending >= 0 else None)
        if (alive_ms := parsed_ms(value.get("alive_at"))) is not None:
            facts.slot_alive(slot, alive_ms)

    def pending(self, isin: str) -> int | None:
        """Return how many frames the bond's owner has not delivered, or None if nobody says."""
        slot = self.slot_of.get(isin)
        state = None if slot is None else self.slots.get(slot)
        return None if state is None else state.pending


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _MOST_DIGITS
