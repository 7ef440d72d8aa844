"""Whether a bond's ticks obey the law on which coverage rests.

The law: each trade adds its own volume to the day's volume, so neighbours touch. Loss explains a
jump, but not an overlap.
"""

from __future__ import annotations

from typing import Final

LEAST_PAIRS: Final = 20  # fewer prove nothing
MOST_BROKEN: Final = 0.01  # of the pairs; loss cannot explain these
MOST_JUMPS: Final = 0.20  # of the pairs, without an interruption between them


def is_broken(pairs: int, broken: int, jumps: int) -> bool:
    """Return whether the day proves nothing.

    `pairs` counts neighbours of one session. `broken` counts those that overlap in part, and ticks
    whose volume exceeds the day's. `jumps` counts holes that nothing explains.
    """
    return pairs >= LEAST_PAIRS and (broken > pairs * MOST_BROKEN or jumps > pairs * MOST_JUMPS)
