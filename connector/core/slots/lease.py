"""What a replica may do with the slots it shares with others. Times are monotonic seconds.

The Kafka group gives the right to a slot by assigning it. Late is better than lost: a replica that
merely lost contact with the group keeps its open sessions. Only a new connection needs the lease.
If two replicas connect all the same, KIS fences one: an app key has one session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.core.kis.backoff import Cause

ALWAYS: Final = float("-inf")
# A session opened out of contact that ends within this time was displaced by the new owner.
THROWN_OUT_SECONDS: Final = 60.0
# How many session timeouts an owner out of contact waits before it connects again.
BLIND_WAIT_TIMEOUTS: Final = 2.0


class Permission(Protocol):
    """What a slot's feed asks before it connects and informs when a session ends."""

    def may_connect_at(self, slot: int, now: float) -> float | None:
        """Return when a new connection is permitted; None if not before something changes."""

    def record_end(self, slot: int, cause: Cause, connected_seconds: float | None, now: float) -> None:
        """Record the end of a session, or of an attempt (`connected_seconds` None)."""


class Unshared:
    """The permission of a connector that shares its app keys with nobody."""

    def may_connect_at(self, slot: int, now: float) -> float | None:  # noqa: ARG002 - every slot, at every time
        """Return that it may connect at once."""
        return ALWAYS

    def record_end(self, slot: int, cause: Cause, connected_seconds: float | None, now: float) -> None:
        """Do nothing: nobody else can have the slot."""


class Lease:
    """The slots one replica holds.

    `session_timeout` is the group's. `blind_limit` is how long an owner that is out of contact
    keeps its sessions; None is for ever.
    """

    def __init__(self, session_timeout: float, blind_limit: float | None, now: float) -> None:
        self._session_timeout = session_timeout
        self._blind_limit = blind_limit
        self._assigned: frozenset[int] = frozenset()
        self._confirmed_at = now
        self._ended_at: dict[int, float] = {}
        self._lost: set[int] = set()
        self._disputed_at: float = ALWAYS
        self.is_member = False

    def use_saved(self, slots: Iterable[int], now: float) -> None:
        """Hold the slots of an earlier run, unless the group has answered already."""
        if not self.is_member:
            self._assigned = frozenset(slots)
            self._ended_at = dict.fromkeys(self._assigned, now)

    def assign(self, slots: Iterable[int], now: float) -> None:
        """Hold exactly the slots that the group assigned."""
        self.is_member = True
        self._assigned = frozenset(slots)
        self.confirm(now)

    def confirm(self, at: float) -> None:
        """Record that the group's coordinator knew this replica as a member at that time."""
        self._confirmed_at = max(self._confirmed_at, at)
        self._lost.clear()

    def in_contact(self, now: float) -> bool:
        """Return whether the group cannot have given our slots to others yet."""
        return self.is_member and now < self._confirmed_at + self._session_timeout

    def dispute(self, now: float) -> None:
        """Record that another replica's status record claims a slot of ours.

        Either that replica or this one does not know the latest assignment yet.
        """
        self._disputed_at = now

    def is_undisputed(self, now: float) -> bool:
        """Return whether the group has confirmed our slots since another replica claimed one.

        Then their status records are ours to write: the group tells a member that its slots went to
        others before it accepts another heartbeat from it.
        """
        return self.in_contact(now) and self._confirmed_at > self._disputed_at

    def held(self, now: float) -> frozenset[int]:
        """Return the slots on which this replica may keep a session open."""
        return frozenset() if self._is_surrendered(now) else self._assigned

    def surrenders_at(self, now: float) -> float | None:
        """Return when `held` will become empty for lack of contact, else None."""
        if self._blind_limit is None or self._is_surrendered(now):
            return None
        return self._confirmed_at + self._blind_limit

    def _is_surrendered(self, now: float) -> bool:
        return self._blind_limit is not None and now >= self._confirmed_at + self._blind_limit

    def may_connect_at(self, slot: int, now: float) -> float | None:
        """Return when this slot may connect to KIS; None while we do not hold it or have lost it.

        Out of contact, the owner of a slot may try after twice the session timeout. It stops trying
        once another replica turns out to have the slot.
        """
        if slot not in self.held(now) or slot in self._lost:
            return None
        if self.in_contact(now):
            return ALWAYS
        return (
            max(self._ended_at.get(slot, self._confirmed_at), self._confirmed_at)
            + BLIND_WAIT_TIMEOUTS * self._session_timeout
        )

    def record_end(self, slot: int, cause: Cause, connected_seconds: float | None, now: float) -> None:
        """Record the end of a session or attempt; out of contact it may show another owner."""
        self._ended_at[slot] = now
        if self.in_contact(now):
            return
        if cause == "in_use" or (cause in {"closed", "reset"} and self._was_displaced(connected_seconds, now)):
            self._lost.add(slot)

    def _was_displaced(self, connected_seconds: float | None, now: float) -> bool:
        """Return whether a short session ended that was opened out of contact.

        One that was opened before contact was lost may be opened again once.
        """
        if connected_seconds is None or connected_seconds >= THROWN_OUT_SECONDS:
            return False
        return now - connected_seconds >= self._confirmed_at + self._session_timeout
