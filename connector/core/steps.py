"""Computations in steps, between which the caller may let others run.

A computation is a generator: it yields after each step, and returns its result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

T = TypeVar("T")

# Reading and judging lists of so many bonds takes some ten milliseconds.
STEP_BONDS = 5000
BOND_BYTES = 13  # an ISIN in quotes


def finished(steps: Generator[None, None, T]) -> T:
    """Take all steps at once and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def step_ends(bonds: Iterable[int]) -> Iterator[bool]:
    """Yield, for lists of so many bonds, whether a step should end after each."""
    total = 0
    for count in bonds:
        total += 1 + count
        ends = total >= STEP_BONDS
        total = 0 if ends else total
        yield ends
