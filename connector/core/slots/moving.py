"""Which bonds each slot carries while bonds move from one to another: the new slot has one before the old one lets go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connector.core.kis.session import SlotView


def carried(
    desired: Sequence[str],
    placement: Mapping[str, int],
    slots: Mapping[int, SlotView],
    is_active: Callable[[str, int], bool],
) -> dict[int, list[str]]:
    """Return the ISINs for each of our slots, the most important first.

    These are the bonds placed there. Behind them stand those that are active there, are placed elsewhere and not active yet where they go
    (`is_active(isin, slot)`), as far as the slot has room; without room a bond is released first.
    """
    wishes: dict[int, list[str]] = {slot: [] for slot in slots}
    for isin in desired:
        if (own := wishes.get(placement.get(isin, -1))) is not None:
            own.append(isin)
    for slot, view in slots.items():
        leaving = {
            isin
            for isin, registration in view.registrations.items()
            if registration.state == "ACTIVE"
            and placement.get(isin, slot) != slot
            and not is_active(isin, placement[isin])
        }
        if leaving:
            room = max(0, view.capacity - len(wishes[slot]))
            wishes[slot] += [isin for isin in desired if isin in leaving][:room]
    return wishes
