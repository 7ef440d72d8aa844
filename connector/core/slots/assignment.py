"""Which replica gets which slot: the claims of the group's members, and how the leader decides."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Claim:
    """What a replica says about the slots that it holds.

    `generation` is the generation of the group that last assigned slots to the replica. On each of
    the slots `open`, a bond is registered.
    """

    generation: int = -1
    held: frozenset[int] = frozenset()
    open: frozenset[int] = frozenset()


def encode(claim: Claim) -> bytes:
    """Return the claim as the user data of a member's metadata, which is JSON.

    An example is `{"generation": 3, "held": [0, 2], "open": [0]}`.
    """
    return json.dumps({"generation": claim.generation, "held": sorted(claim.held), "open": sorted(claim.open)}).encode()


def decode(user_data: bytes) -> Claim:
    """Return the claim in a member's user data, or an empty one if unreadable. Never raises."""
    try:
        match json.loads(user_data or b"{}"):
            case {"generation": int(generation), "held": [*held], "open": [*is_open]}:
                return Claim(generation, frozenset(map(int, held)), frozenset(map(int, is_open)))
    except (ValueError, TypeError, RecursionError):
        pass
    return Claim()


def assign(slots: Iterable[int], claims: Mapping[str, Claim]) -> dict[str, list[int]]:
    """Return the slots of each member, sorted.

    A slot stays with its holder. A slot without a holder goes to the member with the fewest slots.
    If several members claim a slot, a member with a bond registered on the slot wins, because
    closing that member's session would lose ticks. Otherwise the latest generation wins: the other
    members were out of contact when the group gave the slot away. No slot moves only to balance
    the load.
    """
    given: dict[str, list[int]] = {member: [] for member in sorted(claims)}
    free = []
    for slot in sorted(set(slots)):
        holders = [member for member in given if slot in claims[member].held]
        if holders:
            given[
                max(holders, key=lambda member: (slot in claims[member].open, claims[member].generation, member))
            ].append(slot)
        else:
            free.append(slot)
    for slot in free if given else ():
        given[min(given, key=lambda member: (len(given[member]), member))].append(slot)
    return {member: sorted(own) for member, own in given.items()}
