"""Which bonds each slot carries while bonds move from one slot to another."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from connector.core.kis.slot_view import SlotView

# A session registers 41 bonds in about eight seconds; each replica writes its status every second.
WAIT_SECONDS: Final = 30.0


class Moves:
    """The bonds that move away from our slots."""

    def __init__(self) -> None:
        self._since: dict[tuple[int, str], float] = {}

    def carried(
        self,
        placement: Mapping[str, int],
        slots: Mapping[int, SlotView],
        is_active_elsewhere: Callable[[str, int], bool],
        refused: Container[str],
        now: float,
    ) -> dict[int, list[str]]:
        """Return the ISINs that each of our slots carries at `now`, in seconds of any clock.

        `placement` lists the most important bond first. On each slot, the bonds that are placed
        there come first. After them come moving bonds. A moving bond is active on this slot, but is
        placed on another slot, where it is not active yet. On a slot of another replica,
        `is_active_elsewhere(isin, slot)` says so. A bond that KIS `refused` takes no room.

        New bonds of a full slot wait for the moving ones, the least important ones first. KIS may
        refuse a bond on its new slot, or two full slots may wait for each other. So after
        WAIT_SECONDS, a full slot releases a moving bond before the other slot has it.
        """
        wishes: dict[int, list[str]] = {slot: [] for slot in slots}
        for isin, slot in placement.items():
            if (own := wishes.get(slot)) is not None:
                own.append(isin)
        active = {
            slot: {isin for isin, each in view.registrations.items() if each.state == "ACTIVE"}
            for slot, view in slots.items()
        }
        moving = {
            (slot, isin): self._since.get((slot, isin), now)
            for slot, isins in active.items()
            for isin in isins
            if (goal := placement.get(isin, slot)) != slot
            and not (isin in active[goal] if goal in active else is_active_elsewhere(isin, goal))
        }
        self._since = moving
        for slot, view in slots.items():
            leaving = [isin for isin in placement if (slot, isin) in moving] if moving else []
            room = max(0, view.capacity - sum(isin not in refused for isin in wishes[slot]))
            if len(leaving) > room:
                awaited = [isin for isin in leaving if now - moving[slot, isin] < WAIT_SECONDS]
                new = [isin for isin in wishes[slot] if isin not in refused and _is_new(isin, view)]
                late = new[::-1][: max(0, len(awaited) - room)]
                wishes[slot] = [isin for isin in wishes[slot] if isin not in late]
                leaving = sorted(leaving, key=lambda isin: isin not in awaited)[: room + len(late)]
            wishes[slot] += leaving
        return wishes


def _is_new(isin: str, slot: SlotView) -> bool:
    """Whether KIS does not have the bond on this slot, and has not just been asked for it."""
    registration = slot.registrations.get(isin)
    return registration is None or registration.state == "WAITING_CAPACITY"


def with_attempts(
    wishes: Mapping[int, list[str]],
    placement: Mapping[str, int],
    slots: Mapping[int, SlotView],
    refused: Container[str],
    lost: Iterable[int],
) -> dict[int, list[str]]:
    """Return the wishes with one bond for each `lost` slot on which no other bond is placed.

    The slot tries to get a session with it. `wishes` has the ISINs that each of our slots carries.
    """
    attempts: dict[int, list[str]] = {}
    for slot in lost:
        candidates = (*slots[slot].registrations, *islice(placement, 1))
        if all(isin in refused for isin in wishes[slot]):
            chosen = [isin for isin in candidates if isin in placement and isin not in refused][:1]
            attempts[slot] = wishes[slot] + chosen
    return {**wishes, **attempts}
