"""Which bonds each slot carries while bonds move from one slot to another."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from connector.core.kis.slot_view import SlotView


def carried(
    placement: Mapping[str, int],
    slots: Mapping[int, SlotView],
    is_active_elsewhere: Callable[[str, int], bool],
    *,
    refused: Container[str] = frozenset(),
    lost: Iterable[int] = (),
) -> dict[int, list[str]]:
    """Return the ISINs that each of our slots carries.

    `placement` lists the most important bond first. On each slot, the bonds that are placed there
    come first. After them come moving bonds, as far as the slot has room. A moving bond is active
    on this slot, but is placed on another slot, where it is not active yet. On a slot of another
    replica, `is_active_elsewhere(isin, slot)` says so. If this slot has no room for a moving bond,
    it releases the bond before the other slot has it.
    A bond that KIS `refused` takes no room. A `lost` slot on which no other bond is placed tries to
    get a session with one bond of another slot.
    """
    wishes: dict[int, list[str]] = {slot: [] for slot in slots}
    for isin, slot in placement.items():
        if (own := wishes.get(slot)) is not None:
            own.append(isin)
    active = {
        slot: {isin for isin, each in view.registrations.items() if each.state == "ACTIVE"}
        for slot, view in slots.items()
    }
    for slot, view in slots.items():
        leaving = {
            isin
            for isin in active[slot]
            if (goal := placement.get(isin, slot)) != slot
            and not (isin in active[goal] if goal in active else is_active_elsewhere(isin, goal))
        }
        if leaving:
            room = max(0, view.capacity - sum(isin not in refused for isin in wishes[slot]))
            wishes[slot] += [isin for isin in placement if isin in leaving][:room]
    for slot in lost:
        candidates = (*slots[slot].registrations, *islice(placement, 1))
        if all(isin in refused for isin in wishes[slot]):
            wishes[slot] += [isin for isin in candidates if isin in placement and isin not in refused][:1]
    return wishes
