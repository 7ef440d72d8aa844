"""What the bond master says of the bonds of a list: names, and warnings, which never refuse anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from connector.cli.bonds import known_bonds, today
from connector.core.bonds import master

if TYPE_CHECKING:
    from collections.abc import Iterable


def names() -> dict[str, str]:
    """Return the names of all known bonds by ISIN; none where no master was loaded."""
    return {isin: bond.name for isin, bond in known_bonds().items()}


def warn(isins: Iterable[str]) -> dict[str, str]:
    """Say on stderr which bonds the master does not know or calls matured, and return that by ISIN."""
    found = master.warnings(known_bonds(), isins, today())
    for warning in found.values():
        typer.echo(f"Warning: {warning}", err=True)
    return found
