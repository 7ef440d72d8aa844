"""A file of lists, and how far the topic is from it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core import control_record
from connector.core.isin import with_check_digit
from connector.core.list_edit import Request
from connector.core.list_file import Present, compare, parse, records
from connector.errors import RequestMalformed

BONDS = [with_check_digit(f"KR{number:09}") for number in range(6)]
A, B, C = BONDS[:3]
ASKED = Request("me@here", "2026-02-03T00:00:00Z")


def present(**lists):
    """Make the topic's records, all of one time."""
    return {name: Present(json.dumps(value).encode(), 1_700_000_000_000) for name, value in lists.items()}


@pytest.mark.parametrize(
    "document",
    [
        {"desk": {"instruments": [A]}},
        {"desk": [A]},
        {"lists": {"desk": [A]}},
        {"lists": [{"name": "desk", "instruments": [A]}]},
        [{"name": "desk", "instruments": [A]}],
    ],
)
def test_the_ways_to_write_a_file_mean_the_same(document):
    """By name or in sequence, alone or under lists, whole or as bonds alone."""
    assert {name: wish.instruments for name, wish in parse(document).items()} == {"desk": (A,)}


def test_a_list_called_lists_beside_others_is_a_list():
    """Only a document with nothing else but lists is unwrapped."""
    assert set(parse({"lists": [A], "desk": [B]})) == {"lists", "desk"}


def test_a_bond_alone_needs_no_value():
    """An ISIN as a name is the list of that bond."""
    assert parse({A: None})[A].instruments == (A,)


def test_every_mistake_is_told():
    """Two bad lists are two sentences."""
    with pytest.raises(RequestMalformed) as refused:
        parse({"one": ["x"], "two": {"priority": 10, "instruments": []}})
    assert "List one:" in str(refused.value)
    assert "List two:" in str(refused.value)


def test_order_and_origin_are_no_difference():
    """The same bonds in another order, asked for by somebody else: unchanged."""
    found = compare(parse({"desk": [B, A]}), present(desk={"instruments": [A, B], "requested_by": "x", "priority": 5}), prune=False)
    assert [change.kind for change in found] == ["unchanged"]
    assert records(found, present(), ASKED, confirm=False) == []


def test_a_value_that_was_refused_is_replaced():
    """The file says the whole list, so nothing of the bad value is needed."""
    broken = {"desk": Present(b"{", 0)}
    (change,) = compare(parse({"desk": [A]}), broken, prune=False)
    assert (change.kind, change.added, change.removed) == ("changed", [A], [])
    assert "not JSON" in change.misread
    ((_, value),) = records([change], broken, ASKED, confirm=False)
    assert json.loads(value)["requested_at"] == ASKED.at


def test_pausing_is_confirmed_like_a_removal():
    """The guard counts paused bonds as dropped."""
    there = present(desk={"instruments": [A]})
    changes = compare(parse({"desk": {"instruments": [A], "paused": True}}), there, prune=False)
    assert changes[0].fields == {"paused": (False, True)}
    assert json.loads(records(changes, there, ASKED, confirm=True)[0][1])["confirm_removal"] is True
    assert "confirm_removal" not in json.loads(records(changes, there, ASKED, confirm=False)[0][1])


lists = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.fixed_dictionaries(
        {"instruments": st.lists(st.sampled_from(BONDS), unique=True)}, optional={"priority": st.integers(0, 9), "paused": st.booleans()}
    ),
    min_size=1,
)


@given(lists, lists, st.booleans())
def test_applying_a_file_makes_the_topic_hold_it(before, wanted, prune):
    """After the records every list of the file stands in the topic, others do unless pruned, and applying again writes nothing."""
    there = present(**before)
    written = records(compare(parse(wanted), there, prune=prune), there, ASKED, confirm=True)
    after = {name: entry.value for name, entry in there.items()}
    for name, value in written:
        assert value is None or not isinstance(control_record.parse(name, value), control_record.Refusal)
        after[name] = value
    after = {name: Present(value, 0) for name, value in after.items() if value is not None}
    assert set(after) == set(wanted) | (set() if prune else set(before))
    assert all(change.kind == "unchanged" for change in compare(parse(wanted), after, prune=prune))
    for name, entry in after.items():
        if name in wanted:
            wish = control_record.parse(name, entry.value)
            assert set(wish.instruments) == set(wanted[name]["instruments"])
            assert wish.priority == wanted[name].get("priority", 5)
