import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core import status
from connector.core.bonds import isin
from connector.core.lists.subscription import ControlRecord, Lists, Position
from tests.core.lists.at_once import apply_all, from_status, from_text, to_text

A, B = (isin.with_check_digit(f"KR{number:09}") for number in range(2))
LISTS = apply_all(
    Lists(),
    [
        ControlRecord(b"a", json.dumps({"instruments": [A, B], "note": "국고"}).encode(), Position(0, 3), 1_000),
        ControlRecord(b"a", b"bad", Position(0, 4), 2_000),
        ControlRecord(
            b"b",
            json.dumps({"instruments": [B], "requested_at": "1970-01-01T00:00:07Z"}).encode(),
            Position(0, 5),
            3_000,
        ),
        ControlRecord(b"c", b"", Position(0, 6), 4_000),
    ],
)
REPLICA = status.ReplicaView({}, {}, LISTS, "me")
STATUS = status.records(REPLICA, {}, "2026-01-02T00:00:00Z")


def test_saved_lists_come_back_as_they_were():
    """Lists written as text and read again are the same, with refusals and positions."""
    assert from_text(to_text(LISTS)) == LISTS


LIST_RECORDS = {key: record for key, record in STATUS.items() if key.startswith("list/")}


def test_the_status_topic_says_what_was_in_force():
    """Lists are read from status records; times that these lack come from the bonds' records."""
    assert from_status(STATUS, None) == LISTS
    assert from_status(LIST_RECORDS, LISTS) == LISTS
    without = from_status(LIST_RECORDS, None)
    assert without.entries["b"] == LISTS.entries["b"]
    assert without.entries["a"].in_force.requested_at == 0
    assert without.entries["a"].in_force.wish == LISTS.entries["a"].in_force.wish


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("wanted_since", None),
        ("wanted_since", 5),
        ("wanted_since", "2026-01-02T00:00:00"),
        ("lists", [5, None]),
        ("lists", "a"),
        ("control", {"partition": 0, "offset": 2}),  # before the list's content was written
        ("control", None),
    ],
)
def test_a_bonds_record_that_says_no_time_leaves_the_time_open(field, value):
    """Only a bond that reflects the list's content tells since when the list asks for it."""
    records = {
        key: record | {field: value} if key.startswith("instrument/") else record for key, record in STATUS.items()
    }
    assert from_status(records, None).entries["a"].in_force.requested_at == 0
    assert from_status(records, LISTS) == LISTS


def test_a_saved_list_of_another_record_says_no_time():
    """Its record may have asked for something else, so the time of the list in force stays open."""
    entry = LISTS.entries["a"]
    other = replace(entry, in_force=replace(entry.in_force, control=Position(0, 2)))
    assert from_status(LIST_RECORDS, Lists({"a": other})).entries["a"].in_force.requested_at == 0


def test_a_list_whose_bonds_are_all_wanted_since_earlier_ranks_them_the_same():
    """Where every bond was asked for earlier by another list, the exact time does not matter."""
    written = [(b"a", [A, B], 1_000), (b"b", [B], 500), (b"c", [A, B], 9_000)]
    lists = apply_all(
        Lists(),
        [
            ControlRecord(name, json.dumps({"instruments": isins}).encode(), Position(0, place), at)
            for place, (name, isins, at) in enumerate(written)
        ],
    )
    records = status.records(status.ReplicaView({}, {}, lists, "me"), {}, "2026-01-02T00:00:00Z")
    restored = from_status(records, None)
    assert restored.entries["a"] == lists.entries["a"]
    assert restored.entries["c"].in_force.requested_at == 1_000_000
    assert restored.desired == lists.desired


def test_a_saved_list_counts_if_its_status_record_is_missing_but_a_bond_names_it():
    """One missing record must not drop a list's bonds; a list that no bond names was removed."""
    records = {key: record for key, record in STATUS.items() if key != "list/a"}
    assert from_status(records, LISTS).entries["a"] == LISTS.entries["a"]
    assert "a" not in from_status(records, None).entries
    removed = {
        key: record | {"lists": ["b"]} if key.startswith("instrument/") else record for key, record in records.items()
    }
    assert "a" not in from_status(removed, LISTS).entries


def test_an_empty_status_topic_leaves_the_saved_lists():
    """If the status topic describes no list, the saved lists count, else there are no lists."""
    assert from_status({"slot/0": {}}, LISTS) is LISTS
    assert from_status({}, None) == Lists()


def test_the_status_topic_wins_over_saved_lists():
    """If the status topic describes any list, the saved lists add none."""
    assert set(from_status({"list/b": STATUS["list/b"]}, LISTS).entries) == {"b"}


@pytest.mark.parametrize("text", [None, "", "x", "[]", "5", "[" * 100_000])
def test_unreadable_text_is_no_lists(text):
    """Unreadable text counts as nothing saved."""
    assert from_text(text) is None


@pytest.mark.parametrize(
    "saved",
    [
        None,
        5,
        {},
        {"reason": None, "control": {"partition": 0}, "in_force": None},
        {"reason": 5, "control": {"partition": 0, "offset": 0}, "in_force": None},
    ],
)
def test_an_unreadable_entry_is_left_out(saved):
    """A foreign entry does not keep the other entries from being read."""
    good = json.loads(to_text(LISTS))
    assert from_text(json.dumps(good | {"x": saved})) == LISTS
    assert "x" not in from_status({**STATUS, "list/x": saved}, None).entries


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["reason", "control", "in_force", "value", "partition", "offset"]), inner)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["list/a", "list/", "slot/0"]), JSON), st.text(max_size=20))
def test_reading_never_raises(records, text):
    """Whatever is in the topic or the saved text is read without an exception."""
    assert isinstance(from_status(records, from_text(text)), Lists)
