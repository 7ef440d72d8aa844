"""Which session carries which bond: one pure function, so that every replica computes the same answer."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from heapq import heappush, heappushpop
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _Pair(NamedTuple):
    """A bond on a slot; pairs are ordered, the heavier is the greater."""

    weight: bytes
    isin: str
    slot: int


def placement(desired: Sequence[str], capacities: Mapping[int, int]) -> dict[str, int]:
    """Return ISIN → slot for the first Σ capacity bonds of `desired`; those left out wait.

    Rendezvous hashing with bounded capacity: of all pairs of bond and slot the heaviest is taken first, as long as the bond is free and the
    slot has room. Weights belong to the pair alone, so an edit displaces only a short chain of lighter pairs, and the order of `desired`
    decides who is placed, not where.

    It is computed as a stable matching: each bond asks for its heaviest slot that is left, and a full slot gives up its lightest pair.
    Where both sides go by one order of pairs there is one stable matching only, and it is the one above.
    """
    room = {slot: capacity for slot, capacity in capacities.items() if capacity > 0}
    placed = list(islice(dict.fromkeys(desired), sum(room.values())))
    slots = tuple(sorted(room))
    left = {isin: iter(_heaviest_first(isin, slots)) for isin in placed}
    taken: dict[int, list[_Pair]] = {slot: [] for slot in room}
    for isin in placed:
        asking: str | None = isin
        while asking is not None:
            pair = next(left[asking])
            if len(taken[pair.slot]) < room[pair.slot]:
                heappush(taken[pair.slot], pair)
                asking = None
            else:
                asking = heappushpop(taken[pair.slot], pair).isin
    chosen = {pair.isin: slot for slot, pairs in taken.items() for pair in pairs}
    return {isin: chosen[isin] for isin in placed}


# Remembered, because each edit of a list places all bonds anew; enough for all bonds of 49 full sessions.
@lru_cache(maxsize=2048)
def _heaviest_first(isin: str, slots: tuple[int, ...]) -> tuple[_Pair, ...]:
    return tuple(sorted((_Pair(_weight(isin, slot), isin, slot) for slot in slots), reverse=True))


def _weight(isin: str, slot: int) -> bytes:
    return blake2b(f"{slot}|{isin}".encode(), digest_size=8).digest()
