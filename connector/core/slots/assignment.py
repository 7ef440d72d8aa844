"""Which replica gets which slot: the claims of the group's members, and how the leader decides."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LATEST = 1 << 62  # the generation of a member that the group has yet to assign slots to
MOST = 1 << 31  # more is no number of a slot, and no number of bonds
# What may go wrong with JSON that another member, or another program in our group, made.
_UNREADABLE = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a replica says about itself and the slots that it holds.

    `generation` is the generation of the group that last assigned slots to the replica, and `since`
    is the first one that did. On each of the slots `open`, a bond is registered. `capacity` is the
    setting for every session. `keys` has a hash of each app key, salted with the name of the group,
    so that equal hashes show equal app keys.
    """

    generation: int = -1
    held: frozenset[int] = frozenset()
    open: frozenset[int] = frozenset()
    capacity: int = 0
    keys: tuple[str, ...] = ()
    since: int = LATEST


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the leader tells each member, beside its slots.

    `limits` has the slots that some member can open, each with the largest capacity of those
    members. `owners` has the hash of the app key that each slot was last opened with. `claims` has
    the claims of all members.
    """

    limits: Mapping[int, int] = field(default_factory=dict)
    owners: Mapping[int, str] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)


def encode(what: Claim | Fleet) -> bytes:
    """Return the user data of a member's metadata, or of an assignment, which is JSON.

    An example is `{"generation": 3, "held": [0], "open": [0], "capacity": 41, "keys": ["5c", "e1"],
    "since": 1}`.
    """
    return json.dumps(asdict(what), default=sorted).encode()


def decode(user_data: bytes) -> Claim:
    """Return the claim in a member's user data, or an empty one if unreadable. Never raises."""
    with suppress(*_UNREADABLE):
        return _claim(json.loads(user_data))
    return Claim()


def _claim(found: Mapping[str, Any]) -> Claim:
    held, is_open = (frozenset(map(_number, found[name])) for name in ("held", "open"))
    keys = tuple(map(str, found["keys"]))
    return Claim(int(found["generation"]), held, is_open, _number(found["capacity"]), keys, int(found["since"]))


def _number(found: object) -> int:
    """Return a number of a slot or of bonds; raises ValueError for anything else."""
    if type(found) is not int or not 0 <= found < MOST:
        raise ValueError(f"{found!r} is no number of a slot or of bonds")
    return found


def decode_fleet(user_data: bytes) -> Fleet:
    """Return what the leader told, or an empty fleet if unreadable. Never raises."""
    with suppress(*_UNREADABLE):
        found = json.loads(user_data)
        limits = {_number(int(slot)): _number(limit) for slot, limit in found["limits"].items()}
        owners = {_number(int(slot)): str(key) for slot, key in found["owners"].items()}
        return Fleet(limits, owners, {member: _claim(claim) for member, claim in found["claims"].items()})
    return Fleet()


def assign(
    slots: Iterable[int], claims: Mapping[str, Claim], owners: Mapping[int, str]
) -> tuple[dict[str, list[int]], Fleet]:
    """Return the slots of each member, sorted, and what all members are told.

    `slots` are the partitions of the slot topic. A slot stays with its holder, even if the topic
    was deleted, or made anew with fewer partitions: closing its session would lose ticks. A slot
    without a holder goes to a member with the app key that the slot was last opened with (`owners`
    has their hashes), or else to any member that can open it. Of these, it goes to the one with the
    fewest slots, and of equals to the one that joined last: in a rolling update that one has been
    updated already, so the slot need not move again. A slot that no member can open goes to nobody.
    If several members claim a slot, a member with a bond registered on the slot wins, because
    closing that member's session would lose ticks. Otherwise the latest generation wins: the other
    members were out of contact when the group gave the slot away. No slot moves only to balance the
    load.
    """
    given: dict[str, list[int]] = {member: [] for member in sorted(claims)}
    kept = {slot for claim in claims.values() for slot in claim.held if slot < len(claim.keys)}
    able = {slot: [member for member in given if slot < len(claims[member].keys)] for slot in sorted({*slots, *kept})}
    for slot in able:
        if holders := [member for member in given if slot in claims[member].held]:
            ranks = {(slot in claims[member].open, claims[member].generation, member) for member in holders}
            given[max(ranks)[-1]].append(slot)
    for slot in able.keys() - {slot for own in given.values() for slot in own}:
        agreeing = [member for member in able[slot] if claims[member].keys[slot] == owners.get(slot)]
        if candidates := agreeing or able[slot]:
            given[min(candidates, key=lambda member: (len(given[member]), -claims[member].since, member))].append(slot)
    opened = {slot: claims[member].keys[slot] for member, own in given.items() for slot in own if member in able[slot]}
    limits = {slot: max(claims[member].capacity for member in members) for slot, members in able.items() if members}
    return {member: sorted(own) for member, own in given.items()}, Fleet(limits, {**owners, **opened}, claims)


def difference(member: str, claims: Mapping[str, Claim]) -> str | None:
    """Return how another member's app keys or capacity differ from ours, or None if none do."""
    mine = claims.get(member)
    for other, claim in sorted(claims.items()):
        if mine is not None and (claim.keys, claim.capacity) != (mine.keys, mine.capacity):
            differing = sum(one != two for one, two in zip(mine.keys, claim.keys, strict=False))
            return (
                f"{other} has {len(claim.keys)} app keys, {differing} of them other ones, and kis.session_capacity "
                f"{claim.capacity}; this replica has {len(mine.keys)} app keys and {mine.capacity}"
            )
    return None


def earlier_stranger(member: str, claims: Mapping[str, Claim]) -> str | None:
    """Return a member that joined before us and has none of our app keys, or None."""
    mine = claims.get(member, Claim())
    strangers = [
        other
        for other, claim in claims.items()
        if claim.keys and mine.keys and not set(claim.keys) & set(mine.keys)
        if (claim.since, other) < (mine.since, member)
    ]
    return min(strangers, default=None)
