"""Which bonds each slot carries while bonds move from one to another: the new slot has one before the old one lets go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connector.core.session import SlotView


def carried(
    desired: Sequence[str], placement: Mapping[str, int], slots: Mapping[int, SlotView], is_active: Callable[[str, int], bool]
) -> dict[int, list[str]]:
    """Return the ISINs for each of our slots, the most important first.

    These are the bonds placed there. Behind them stand those that are active there, are placed elsewhere and not active yet where they go
    (`is_active(isin, slot)`), as far as the slot has room; without room a bond is released first.
    """
    wishes: dict[int, list[str]] = {slot: [] for slot in slots}
    leaving: dict[int, list[str]] = {slot: [] for slot in slots}
    active = {slot: {isin for isin, view in slots[slot].registrations.items() if view.state == "ACTIVE"} for slot in slots}
    for isin in desired:
        goes_to = placement.get(isin)
        if goes_to is None:
            continue
        if goes_to in wishes:
            wishes[goes_to].append(isin)
        for slot in slots:
            if slot != goes_to and isin in active[slot] and not is_active(isin, goes_to):
                leaving[slot].append(isin)
    return {slot: wishes[slot] + leaving[slot][: max(0, slots[slot].capacity - len(wishes[slot]))] for slot in slots}
