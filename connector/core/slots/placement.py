"""Which slot carries which bond: pure functions, so that all replicas get the same answer."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from hashlib import blake2b
from heapq import heappush, heappushpop
from itertools import islice, repeat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


_Pair = tuple[bytes, str, int]  # the weight of a bond on a slot, the ISIN and the slot


class Places(NamedTuple):
    """What the status records say about the room for bonds.

    `counted` has the number of bonds for each slot. A `spare` slot has no session, so it only gets
    bonds for which the others have no room. A bond that KIS `refused` takes no place. It stays on
    its slot, which may ask KIS again while it has room. If that slot does not count, the bond goes
    where the good ones leave room.
    """

    counted: Mapping[int, int]
    spare: Mapping[int, int]
    refused: Mapping[str, int]


def place(ranking: Collection[str], places: Places) -> dict[str, int]:
    """Return ISIN → slot: the bonds that fit, by rank, and then the refused ones."""
    good = [isin for isin in ranking if isin not in places.refused]
    placed = placement(good, places.counted)
    if places.spare and len(placed) < len(good):
        placed |= placement([isin for isin in good if isin not in placed], places.spare)
    refused = {isin: places.refused[isin] for isin in ranking if isin in places.refused}
    room = Counter(places.counted)
    room.subtract(placed.values())
    return placed | refused | placement([isin for isin, slot in refused.items() if slot not in places.counted], room)


def placement(desired: Sequence[str], capacities: Mapping[int, int]) -> dict[str, int]:
    """Return ISIN → slot for the first bonds of `desired`, as many as fit; the others wait.

    This is rendezvous hashing with bounded capacity. Each pair of a bond and a slot has a weight.
    We go through the pairs from the heaviest to the lightest. We choose a pair if its bond is not
    placed yet and its slot has room. A weight depends on its pair alone, so an edit displaces only
    a short chain of lighter pairs. The order of `desired` decides which bonds are placed, but not
    where they are placed.

    The code finds these pairs as a stable matching. Each bond asks for the heaviest slot that has
    not refused it yet. A full slot gives up its lightest pair. Bonds and slots rank the pairs by
    the same weights, so there is only one stable matching.
    """
    room = {slot: capacity for slot, capacity in capacities.items() if capacity > 0}
    placed = list(islice(dict.fromkeys(desired), sum(room.values())))
    slots = tuple(sorted(room))
    left = {isin: iter(_heaviest_first(isin, slots)) for isin in placed}
    carried: dict[int, list[_Pair]] = {slot: [] for slot in room}
    for isin in placed:
        asking: str | None = isin
        while asking is not None:
            _, _, slot = pair = next(left[asking])
            if len(carried[slot]) < room[slot]:
                heappush(carried[slot], pair)
                asking = None
            else:
                _, asking, _ = heappushpop(carried[slot], pair)
    chosen = {isin: slot for slot, pairs in carried.items() for _, isin, _ in pairs}
    return {isin: chosen[isin] for isin in placed}


# Cached, because each edit of a list places all bonds again. 2,048 bonds fill 49 sessions.
@lru_cache(maxsize=2048)
def _heaviest_first(isin: str, slots: tuple[int, ...]) -> tuple[_Pair, ...]:
    weights = [blake2b(f"{slot}|{isin}".encode(), digest_size=8).digest() for slot in slots]
    return tuple(sorted(zip(weights, repeat(isin), slots, strict=False), reverse=True))
