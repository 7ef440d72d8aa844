"""Names and warnings from the bond master for the bonds of a list; they refuse nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.cli.bonds import known_bonds, today
from connector.cli.output import say
from connector.core.bonds import master

if TYPE_CHECKING:
    from collections.abc import Iterable


def names() -> dict[str, str]:
    """Return the names of all known bonds by ISIN; none if no master was saved."""
    return {isin: bond.name for isin, bond in known_bonds().items()}


def warn(isins: Iterable[str]) -> dict[str, str]:
    """Warn on stderr of bonds the master does not know or calls matured.

    Returns the warnings by ISIN.
    """
    bonds = known_bonds()
    found = master.warnings(bonds, isins, today())
    for warning in master.in_few_lines(bonds, found):
        say(f"Warning: {warning}", err=True)
    return found
