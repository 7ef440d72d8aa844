"""Runs long computations in steps, so that the caller can let other tasks run between two steps.

A computation is a generator. It yields after each step, and returns its result at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

T = TypeVar("T")

# One step reads and judges lists with about this many bonds, which takes some ten milliseconds.
STEP_BONDS = 5000
BOND_BYTES = 13  # an ISIN in quotes


def finished(steps: Generator[None, None, T]) -> T:
    """Run all steps without a pause and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def step_ends(bonds: Iterable[int]) -> Iterator[bool]:
    """Yield for each list whether a step should end after it. `bonds` counts each list's bonds."""
    total = 0
    for count in bonds:
        total += 1 + count
        ends = total >= STEP_BONDS
        total = 0 if ends else total
        yield ends
