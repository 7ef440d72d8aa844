"""Which slot carries which bond: one pure function, so that all replicas get the same answer."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from heapq import heappush, heappushpop
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _Pair(NamedTuple):
    """A bond on a slot; the heavier pair is the greater one."""

    weight: bytes
    isin: str
    slot: int


def placement(desired: Sequence[str], capacities: Mapping[int, int]) -> dict[str, int]:
    """Return ISIN → slot for the first Σ capacity bonds of `desired`; the others wait.

    This is rendezvous hashing with bounded capacity: among all pairs of bond and slot the heaviest
    is chosen first, if the bond is not placed yet and the slot has room. A weight depends on its
    pair alone, so an edit displaces only a short chain of lighter pairs. The order of `desired`
    decides which bonds are placed, not where.

    It is computed as a stable matching: each bond asks for its heaviest slot that has not refused
    it, and a full slot gives up its lightest pair. Both sides rank pairs alike, so there is only
    one stable matching, the one described above.
    """
    room = {slot: capacity for slot, capacity in capacities.items() if capacity > 0}
    placed = list(islice(dict.fromkeys(desired), sum(room.values())))
    slots = tuple(sorted(room))
    left = {isin: iter(_heaviest_first(isin, slots)) for isin in placed}
    carried: dict[int, list[_Pair]] = {slot: [] for slot in room}
    for isin in placed:
        asking: str | None = isin
        while asking is not None:
            pair = next(left[asking])
            if len(carried[pair.slot]) < room[pair.slot]:
                heappush(carried[pair.slot], pair)
                asking = None
            else:
                asking = heappushpop(carried[pair.slot], pair).isin
    chosen = {pair.isin: slot for slot, pairs in carried.items() for pair in pairs}
    return {isin: chosen[isin] for isin in placed}


# Cached, because each edit of a list places all bonds again; 2,048 fill 49 sessions.
@lru_cache(maxsize=2048)
def _heaviest_first(isin: str, slots: tuple[int, ...]) -> tuple[_Pair, ...]:
    return tuple(sorted((_Pair(_weight(isin, slot), isin, slot) for slot in slots), reverse=True))


def _weight(isin: str, slot: int) -> bytes:
    return blake2b(f"{slot}|{isin}".encode(), digest_size=8).digest()
