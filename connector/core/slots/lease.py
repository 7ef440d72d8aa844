"""What a replica may do with the slots it shares with others. Times are monotonic seconds.

The right to a slot is an assignment by the Kafka group. Late is better than lost: a replica that merely lost contact with the group keeps
its open sessions; only a new connection needs the lease, and KIS's rule of one session for one app key is the fence behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.core.kis.governor import Cause

ALWAYS: Final = float("-inf")
# A connection made without contact that ends so soon was thrown out by whoever has the slot since.
THROWN_OUT_SECONDS: Final = 60.0
BLIND_WAIT_TIMEOUTS: Final = 2.0


class Permission(Protocol):
    """What one slot's feed asks before it connects, and tells when a session or an attempt has ended."""

    def may_connect_at(self, slot: int, now: float) -> float | None:
        """Return when a new connection is permitted; None: not before something changes."""

    def ended(self, slot: int, cause: Cause, connected_seconds: float | None, now: float) -> None:
        """Take in the end of a session, or of an attempt (None)."""


class Unshared:
    """The permission of a connector that shares its app keys with nobody."""

    def may_connect_at(self, slot: int, now: float) -> float | None:  # noqa: ARG002 - every slot, at every time
        """Return that it may at once."""
        return ALWAYS

    def ended(self, slot: int, cause: Cause, connected_seconds: float | None, now: float) -> None:
        """Have no use for it."""


class Lease:
    """The slots one replica holds; `session_timeout` is the group's, `blind_limit` how long an owner out of contact keeps its sessions."""

    def __init__(self, session_timeout: float, blind_limit: float | None, now: float) -> None:
        self._session_timeout = session_timeout
        self._blind_limit = blind_limit
        self._assigned: frozenset[int] = frozenset()
        self._heard_at = now
        self._ended_at: dict[int, float] = {}
        self._taken: set[int] = set()
        self._contested_at: float = ALWAYS
        self.is_member = False

    def remembered(self, slots: Iterable[int], now: float) -> None:
        """Take the slots held in an earlier run, for as long as the group cannot be asked; of no effect once it answered."""
        if not self.is_member:
            self._assigned = frozenset(slots)
            self._ended_at = dict.fromkeys(self._assigned, now)

    def assigned(self, slots: Iterable[int], now: float) -> None:
        """Take over what the group assigned: exactly these slots are ours."""
        self.is_member = True
        self._assigned = frozenset(slots)
        self.heard(now)

    def heard(self, at: float) -> None:
        """Take in that the group's coordinator knew this replica as a member at that time."""
        self._heard_at = max(self._heard_at, at)
        self._taken.clear()

    def in_contact(self, now: float) -> bool:
        """Return whether the group cannot have given our slots to others yet."""
        return self.is_member and now < self._heard_at + self._session_timeout

    def contested(self, now: float) -> None:
        """Take in that another replica was read to own a slot of ours: it, or we, have not learnt of a new assignment yet."""
        self._contested_at = now

    def is_undisputed(self, now: float) -> bool:
        """Return whether the group confirmed our slots since anybody else was read to own one. Then their records are ours to write.

        A member whose slots went to others learns of that before a heartbeat of its is accepted again.
        """
        return self.in_contact(now) and self._heard_at > self._contested_at

    def held(self, now: float) -> frozenset[int]:
        """Return the slots whose sessions this replica may keep open."""
        return frozenset() if self._is_surrendered(now) else self._assigned

    def surrenders_at(self, now: float) -> float | None:
        """Return when `held` becomes empty for lack of contact; None where it does not, or is."""
        if self._blind_limit is None or self._is_surrendered(now):
            return None
        return self._heard_at + self._blind_limit

    def _is_surrendered(self, now: float) -> bool:
        return self._blind_limit is not None and now >= self._heard_at + self._blind_limit

    def may_connect_at(self, slot: int, now: float) -> float | None:
        """Return when this slot may be connected to KIS; None: not before contact with the group is back or the slot is ours.

        Out of contact, the owner of a slot may try after twice the session timeout, and no more once somebody else turned out to have it.
        """
        if slot not in self.held(now) or slot in self._taken:
            return None
        if self.in_contact(now):
            return ALWAYS
        return (
            max(self._ended_at.get(slot, self._heard_at), self._heard_at) + BLIND_WAIT_TIMEOUTS * self._session_timeout
        )

    def ended(self, slot: int, cause: Cause, connected_seconds: float | None, now: float) -> None:
        """Take in the end of a slot's session or attempt; out of contact it may show that somebody else has the slot."""
        self._ended_at[slot] = now
        if self.in_contact(now):
            return
        if cause == "in_use" or (cause in {"closed", "reset"} and self._was_thrown_out(connected_seconds, now)):
            self._taken.add(slot)

    def _was_thrown_out(self, connected_seconds: float | None, now: float) -> bool:
        """Tell whether a session that ended had been opened out of contact, and just so. One from before is tried again once."""
        if connected_seconds is None or connected_seconds >= THROWN_OUT_SECONDS:
            return False
        return now - connected_seconds >= self._heard_at + self._session_timeout
