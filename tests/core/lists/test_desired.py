"""Which bonds the lists want together, change by change."""

from hypothesis import given
from hypothesis import strategies as st

from connector.core.lists.desired import Desired, newly_asked
from connector.core.lists.subscription import Lists
from tests.core.lists.at_once import apply, desired, from_entries
from tests.core.lists.test_subscription import BONDS, LOGS, A, B, C, lists_of, record


def naive(entries):
    """Return the desired bonds in order, computed from all lists by the rule of the contract."""
    contents = {name: entry.in_force for name, entry in sorted(entries.items()) if entry.in_force is not None}
    found = []
    for bond in {bond for content in contents.values() for bond in content.wish.instruments}:
        naming = {name: content for name, content in contents.items() if bond in content.wish.instruments}
        wanting = {name: content for name, content in naming.items() if not content.wish.paused}
        if wanting:
            priority = max(content.wish.priority for content in wanting.values())
            requested_at = min(content.requested_at for content in wanting.values())
            control = max(content.control for content in naming.values())
            found.append(Desired(bond, priority, requested_at, tuple(wanting), control))
    return sorted(found, key=lambda bond: (-bond.priority, bond.requested_at, bond.isin))


@given(LOGS, st.integers(0, 12))
def test_desired_bonds_follow_each_record(log, again):
    """After each record, the desired bonds equal a fresh computation."""
    lists = Lists()
    for each in [*log, *log[again:]]:
        lists = apply(lists, each)
        assert desired(lists) == naive(lists.entries)
        assert lists == from_entries(lists.entries)


def test_a_bond_that_a_record_does_not_touch_is_the_same_object():
    """An edit makes new objects only for the bonds that the record's list names."""
    lists = lists_of(record(0, "x", [A, B]), record(1, "y", [C]))
    after = apply(lists, record(2, "x", [A]))
    assert after.desired[C] is lists.desired[C]
    assert set(after.desired) == {A, C}


def test_few_and_many_moved_bonds_are_ranked_alike():
    """The ranking is right whether an edit moves few bonds, many, or none."""
    lists = lists_of(record(0, "x", BONDS), record(1, "y", {"instruments": BONDS[50:150], "priority": 7}))
    edits = [
        {"instruments": BONDS[50:149], "priority": 7},
        {"instruments": BONDS[50:149], "priority": 3},
        {"instruments": BONDS[50:60], "priority": 8},
        {"instruments": BONDS[55:60], "priority": 8, "requested_at": "2020-01-01T00:00:00Z"},
        {"instruments": BONDS[55:60], "priority": 8, "paused": True},
        None,
    ]
    for offset, value in enumerate(edits, 2):
        lists = apply(lists, record(offset, "y", value))
        assert desired(lists) == naive(lists.entries)
        assert lists == from_entries(lists.entries)


def test_what_a_record_newly_asks_for():
    """A bond is asked for anew if a list newly wants it or its priority changed."""
    lists = lists_of(record(0, "x", [A, B]), record(1, "y", {"instruments": [C], "paused": True}))
    for value, expected in (
        ([A, B, C], {C}),
        ({"instruments": [A, B], "priority": 7}, {A, B}),
        ({"instruments": [B], "note": "again"}, set()),
        (None, set()),
    ):
        assert newly_asked(lists, apply(lists, record(2, "x", value))) == expected
    assert newly_asked(lists, apply(lists, record(2, "y", [C]))) == {C}
    both = apply(lists, record(2, "y", {"instruments": [A], "priority": 9}))
    assert newly_asked(both, apply(both, record(3, "y", []))) == {A}
