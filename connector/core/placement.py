"""Which session carries which bond: one pure function, so that every replica computes the same answer."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def placement(desired: Sequence[str], capacities: Mapping[int, int]) -> dict[str, int]:
    """Return ISIN → slot for the first Σ capacity bonds of `desired`; those left out wait.

    Rendezvous hashing with bounded capacity: of all pairs of bond and slot the heaviest is taken first, as long as the bond is free and the
    slot has room. Weights belong to the pair alone, so an edit displaces only a short chain of lighter pairs, and the order of `desired`
    decides who is placed, not where.
    """
    room = {slot: capacity for slot, capacity in capacities.items() if capacity > 0}
    placed = list(dict.fromkeys(desired))[: sum(room.values())]
    pairs = sorted(((_weight(isin, slot), isin, slot) for isin in placed for slot in room), reverse=True)
    chosen: dict[str, int] = {}
    for _, isin, slot in pairs:
        if isin not in chosen and room[slot] > 0:
            chosen[isin] = slot
            room[slot] -= 1
    return {isin: chosen[isin] for isin in placed}


def _weight(isin: str, slot: int) -> bytes:
    return blake2b(f"{slot}|{isin}".encode(), digest_size=8).digest()
