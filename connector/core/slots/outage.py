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


class Outages:
    """The outages of a replica's slots.

    A slot is lost after `lost_after` seconds without a session, until it has one again. Each
    further loss within an hour doubles the time that the new session must last, so that a flapping
    slot does not move its bonds each time.
    """

    def __init__(self, lost_after: float) -> None:
        self._lost_after = lost_after
        self._slots: dict[int, _Outage] = {}

    def lost(self, views: Mapping[int, SlotView], now: float) -> frozenset[int]:
        """Return the slots that are lost; this must be asked again and again."""
        self._slots = {slot: self._slots.get(slot) or _Outage() for slot in views}
        for slot, outage in self._slots.items():
            if (is_down := _is_down(views[slot])) != outage.is_down:
                outage.is_down, outage.since = is_down, now
            if not is_down and now >= outage.since + _probation(outage.losses):
                outage.is_lost = False
            elif is_down and not outage.is_lost and now >= outage.since + self._lost_after:
                recent = now < outage.lost_at + FORGIVEN_AFTER_SECONDS
                outage.losses = outage.losses + 1 if recent else 1
                outage.is_lost, outage.lost_at = True, now
        return frozenset(slot for slot, outage in self._slots.items() if outage.is_lost)


def _is_down(view: SlotView) -> bool:
    """Return whether KIS confirms none of the bonds; a refusal shows that a session works.

    A slot without bonds is down if its last session or attempt failed. So its outage is known
    before the bonds of another lost slot come to it.
    """
    waiting = any(registration.state != "REJECTED" for registration in view.registrations.values())
    has_failed = view.state == "IDLE" and view.code is not None
    return view.registered == 0 and (waiting or has_failed)


def _probation(losses: int) -> float:
    if losses < 2:
        return 0.0
    return min(LONGEST_PROBATION_SECONDS, FIRST_PROBATION_SECONDS * 2.0 ** min(losses - 2, 16))
