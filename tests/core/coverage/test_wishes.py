"""What the auditor takes from the status topic."""

from connector.core.coverage.facts import Facts
from connector.core.coverage.wishes import SlotState, Wishes
from tests.core.coverage.trades import ISIN


def test_a_bond_has_its_slot_and_the_slot_its_pending_frames():
    """The pending frames of a bond are those of the slot that carries it."""
    wishes, facts = Wishes(), Facts()
    assert wishes.pending(ISIN) is None
    wishes.record(f"instrument/{ISIN}", {"slot": 1, "wanted_since": "2026-09-11T00:00:00Z"}, facts)
    assert wishes.pending(ISIN) is None
    wishes.record("slot/1", {"state": "CONNECTED", "pending": 0, "alive_at": "2026-09-11T00:00:00Z"}, facts)
    assert wishes.pending(ISIN) == 0
    assert wishes.slots == {1: SlotState("CONNECTED", 0)}
    assert facts.version == 1


def test_tombstones_remove():
    """A bond or slot whose record is a tombstone is forgotten."""
    wishes, facts = Wishes(), Facts()
    wishes.record(f"instrument/{ISIN}", {"slot": 1}, facts)
    wishes.record("slot/1", {"state": "IDLE", "pending": 2}, facts)
    wishes.record(f"instrument/{ISIN}", None, facts)
    wishes.record("slot/1", None, facts)
    assert (wishes.slot_of, wishes.slots) == ({}, {})


def test_strange_values_are_unknown():
    """A slot or a number of another type counts as unknown; records of lists are ignored."""
    wishes, facts = Wishes(), Facts()
    wishes.record(f"instrument/{ISIN}", {"slot": "1"}, facts)
    wishes.record("slot/1", {"pending": True}, facts)
    for number in ("x", "", "-1", "9" * 5_000):
        wishes.record(f"slot/{number}", {"pending": 1}, facts)
    wishes.record("list/desk", {"state": "ACCEPTED"}, facts)
    wishes.record("instrument/KR103502GA34&more", {"slot": 1}, facts)  # KIS would be asked about it
    assert wishes.slot_of == {ISIN: None}
    assert wishes.slots == {1: SlotState("None", None)}
