"""Which slots have had no session for so long that other slots carry their bonds.

Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.kis.slot_view import SlotView

# A slot that is lost again within this time must keep its next session for a while.
FORGIVEN_AFTER_SECONDS: Final = 3600.0
FIRST_PROBATION_SECONDS: Final = 60.0
LONGEST_PROBATION_SECONDS: Final = 1800.0


@dataclass(slots=True)
class _Outage:
    is_down: bool = False
    since: float = float("-inf")  # when `is_down` last changed
    lost_at: float = float("-inf")
    losses: int = 0
    is_lost: bool = False
    was_idle: bool = False  # it had no bonds when it was last seen up, so it had no session either


class Outages:
    """The outages of a replica's slots.

    A slot is lost after `lost_after` seconds without a session, until it has one again. Each
    further loss within an hour doubles the time that the new session must last, so that a flapping
    slot does not move its bonds each time. A slot that had no bonds has no session to get back, so
    it is lost as soon as KIS blocks it: the bonds that came to it may have waited elsewhere before.
    """

    def __init__(self, lost_after: float) -> None:
        self._lost_after = lost_after
        self._slots: dict[int, _Outage] = {}

    def lost(self, views: Mapping[int, SlotView], now: float) -> frozenset[int]:
        """Return the slots that are lost; this must be asked again and again."""
        self._slots = {slot: self._slots.get(slot) or _Outage() for slot in views}
        for slot, outage in self._slots.items():
            state = views[slot].state
            if (is_down := _is_down(views[slot])) != outage.is_down:
                outage.is_down, outage.since = is_down, now
            if not is_down:
                outage.was_idle = state == "IDLE"
            patience = 0.0 if outage.was_idle and state == "BLOCKED" else self._lost_after
            if not is_down and now >= outage.since + _probation(outage.losses):
                outage.is_lost = False
            elif is_down and not outage.is_lost and now >= outage.since + patience:
                recent = now < outage.lost_at + FORGIVEN_AFTER_SECONDS
                outage.losses = outage.losses + 1 if recent else 1
                outage.is_lost, outage.lost_at = True, now
        return frozenset(slot for slot, outage in self._slots.items() if outage.is_lost)


def _is_down(view: SlotView) -> bool:
    """Return whether KIS confirms none of the bonds; a refusal in a session shows that it works.

    A slot without bonds is down if its last session or attempt failed. So its outage is known
    before the bonds of another lost slot come to it.
    """
    if view.registered:
        return False
    if view.state == "CONNECTED":
        return any(registration.state != "REJECTED" for registration in view.registrations.values())
    return view.state != "IDLE" or view.code is not None


def _probation(losses: int) -> float:
    if losses < 2:
        return 0.0
    return min(LONGEST_PROBATION_SECONDS, FIRST_PROBATION_SECONDS * 2.0 ** min(losses - 2, 16))
