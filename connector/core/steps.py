"""Long computations in steps, so that the caller can let other tasks run between two steps.

A computation is a generator. It yields after each small step, which takes less than some ten
milliseconds, and returns its result at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")


def finished(steps: Generator[None, None, T]) -> T:
    """Run all steps without a pause and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
