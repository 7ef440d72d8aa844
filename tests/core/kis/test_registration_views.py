from connector.core.kis.bond_registration import BondRegistration, Held
from connector.core.kis.registration_views import registration_views
from tests.core.kis.kis_model import A, B, C, D


def states(wanted, bonds, limit):
    """Return the state of each bond in the view."""
    return {isin: view.state for isin, view in registration_views(wanted, bonds, limit).items()}


def test_bonds_beyond_the_room_wait():
    """The most important bonds take the places that are free."""
    bonds = {B: BondRegistration(held=Held.YES)}
    assert states([A, B, C], bonds, 2) == {A: "PENDING", B: "ACTIVE", C: "WAITING_CAPACITY"}


def test_a_refused_bond_takes_no_place():
    """Beside a refused bond another one has room."""
    bonds = {A: BondRegistration(retry_wait=1800.0)}
    assert states([A, B, C], bonds, 1) == {A: "REJECTED", B: "PENDING", C: "WAITING_CAPACITY"}


def test_an_unwanted_bond_is_in_view_while_it_is_held_or_waits():
    """A bond that nobody wants is in view until KIS does not hold it."""
    bonds = {A: BondRegistration(held=Held.MAYBE), B: BondRegistration(found_full=True), C: BondRegistration()}
    assert states([D], bonds, 1) == {D: "PENDING", A: "PENDING", B: "WAITING_CAPACITY"}
