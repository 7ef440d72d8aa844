"""Which bonds each slot carries while bonds move from one slot to another."""

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

    First come the bonds placed there. After them, if the slot has room, come the bonds that are
    active there but are placed on another slot where they are not active yet
    (`is_active(isin, slot)`). Without room the bond is released before its new slot has it.
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
