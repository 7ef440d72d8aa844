"""What a replica may do with the slots it shares with others. Times are monotonic seconds.

The Kafka group gives a replica the right to a slot by assigning the slot. Late ticks are better
than lost ticks, so a replica that only lost contact with the group keeps its open sessions. Only a
new connection needs the lease. If two replicas connect nevertheless, KIS serves only one of them,
because an app key has one session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.core.kis.backoff import Cause

ALWAYS: Final = float("-inf")
FOREVER: Final = float("inf")
# If a session that was opened out of contact ends within this time, a new owner displaced it.
THROWN_OUT_SECONDS: Final = 60.0
# An owner that is out of contact waits this many session timeouts before it connects again.
BLIND_WAIT_TIMEOUTS: Final = 2.0


class Lease:
    """The slots that one replica holds.

    `session_timeout` is the group's setting, in seconds. A connector that shares its slots with
    nobody is never out of contact, so its timeout is infinite. `blind_limit` is how many seconds an
    owner keeps its sessions while it is out of contact.
    """

    def __init__(self, session_timeout: float, blind_limit: float, now: float) -> None:
        self._session_timeout = session_timeout
        self._blind_limit = blind_limit
        self._assigned: frozenset[int] = frozenset()
        self._confirmed_at = now
        self._ended_at: dict[int, float] = {}
        self._lost: set[int] = set()
        self._disputed_at: float = ALWAYS
        self.is_member = False

    def use_saved(self, slots: Iterable[int]) -> None:
        """Hold the slots of an earlier run, unless the group has already assigned some."""
        if not self.is_member:
            self._assigned = frozenset(slots)

    def assign(self, slots: Iterable[int], now: float) -> None:
        """Hold exactly the slots that the group assigned."""
        self.is_member = True
        self._assigned = frozenset(slots)
        self.confirm(now)

    def give_up(self) -> None:
        """Hold no slot from now on, because the group is about to give ours to other replicas."""
        self._assigned = frozenset()

    def confirm(self, at: float) -> None:
        """Record that the group's coordinator knew this replica as a member at the time `at`."""
        self._confirmed_at = max(self._confirmed_at, at)
        self._lost.clear()

    def in_contact(self, now: float) -> bool:
        """Return whether it is certain that the group has not given our slots away."""
        return self.is_member and now < self._confirmed_at + self._session_timeout

    def dispute(self, now: float) -> None:
        """Record that another replica's status record claims a slot of ours.

        One of the two replicas does not know the latest assignment yet.
        """
        self._disputed_at = now

    def is_undisputed(self, now: float) -> bool:
        """Return whether the group has confirmed our slots since another replica claimed one.

        If so, we may write the slots' status records. The group accepts a heartbeat only
        after it has told the member of any slots that the member lost.
        """
        return self.in_contact(now) and self._confirmed_at > self._disputed_at

    def held(self, now: float) -> frozenset[int]:
        """Return the slots on which this replica may keep a session open."""
        return self._assigned if now < self.surrenders_at else frozenset()

    @property
    def surrenders_at(self) -> float:
        """When we give up all slots for lack of contact."""
        return self._confirmed_at + self._blind_limit

    def may_connect_at(self, slot: int, now: float) -> float | None:
        """Return when this slot may connect to KIS, or None while we may not use the slot.

        An owner that is out of contact may connect after twice the session timeout. It may not
        connect once it learns that another replica has the slot.
        """
        if slot not in self.held(now) or slot in self._lost:
            return None
        if self.in_contact(now):
            return ALWAYS
        began = max(self._ended_at.get(slot, ALWAYS), self._confirmed_at)
        return began + BLIND_WAIT_TIMEOUTS * self._session_timeout

    def record_end(self, slot: int, cause: Cause, connected_seconds: float | None, now: float) -> None:
        """Record the end of a session, or of an attempt, which has no `connected_seconds`.

        While we are out of contact, the end may show that another replica has the slot. A session
        that we opened in contact shows nothing by its end, so the slot may connect once more.
        """
        self._ended_at[slot] = now
        seconds = FOREVER if connected_seconds is None else connected_seconds
        was_opened_blind = now - seconds >= self._confirmed_at + self._session_timeout
        is_displaced = cause in {"closed", "reset"} and seconds < THROWN_OUT_SECONDS and was_opened_blind
        if not self.in_contact(now) and (cause == "in_use" or is_displaced):
            self._lost.add(slot)
