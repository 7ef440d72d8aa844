"""Puts names into a phrase that stays on one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connector.core.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_NAMED: Final = 3


def named(names: Sequence[str]) -> str:
    """Return up to three names; of more, the first two, and how many others there are."""
    few = names if len(names) <= MOST_NAMED else names[:2]
    return ", ".join(map(printable, few)) + (f" and {len(names) - len(few)} more" if len(few) < len(names) else "")
