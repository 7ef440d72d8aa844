"""The bonds of one session as the status topic shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.core.kis.bond_registration import BondRegistration, Held, RegistrationView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def registration_views(
    wanted: Iterable[str], bonds: Mapping[str, BondRegistration], limit: int
) -> dict[str, RegistrationView]:
    """Return each bond that is wanted, still held, or waiting because the session was full.

    `wanted` begins with the most important bond, and `limit` is how many bonds the session holds.
    """
    seen: dict[str, RegistrationView] = {}
    registrations = {isin: bonds.get(isin) or BondRegistration() for isin in wanted}
    # An unwanted bond takes no place here: if KIS still holds it, we are about to release it.
    places = limit - sum(bond.held > Held.NO for bond in registrations.values())
    for isin, bond in registrations.items():
        seen[isin] = bond.view(is_beyond_room=places <= 0)
        places -= bond.held is Held.NO and not bond.is_rejected
    for isin, bond in bonds.items():
        if isin not in seen and (bond.found_full or bond.held):
            seen[isin] = bond.view(is_beyond_room=True)
    return seen
