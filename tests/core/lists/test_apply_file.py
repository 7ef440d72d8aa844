"""A file of lists, and how far the topic is from it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.bonds.isin import with_check_digit
from connector.core.lists import control_record
from connector.core.lists.apply_file import compare, parse, records
from connector.core.lists.edits import Request, after, current_lists, held_back
from connector.core.lists.subscription import ControlRecord, Position
from connector.errors import RequestMalformed

BONDS = [with_check_digit(f"KR{number:09}") for number in range(6)]
A, B, C = BONDS[:3]
ASKED = Request("me@here", "2026-02-03T00:00:00Z")


def topic(values):
    """Return the lists that these values mean, all of one time."""
    return current_lists(
        [
            ControlRecord(name.encode(), value, Position(0, place), 1_700_000_000_000)
            for place, (name, value) in enumerate(values.items())
        ],
        {},
    )


def present(**lists):
    """Return the lists that these documents mean."""
    return topic({name: json.dumps(value).encode() for name, value in lists.items()})


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
    """A file may name lists by key or by field, under `lists` or not, with fields or only bonds."""
    assert {name: wish.instruments for name, wish in parse(document).items()} == {"desk": (A,)}


def test_a_list_called_lists_beside_others_is_a_list():
    """A document is unwrapped only if `lists` is its sole key."""
    assert set(parse({"lists": [A], "desk": [B]})) == {"lists", "desk"}


def test_a_bond_alone_needs_no_value():
    """An ISIN as a name is the list of that bond."""
    assert parse({A: None})[A].instruments == (A,)


def test_every_mistake_is_reported():
    """Each bad list gets a sentence of its own."""
    with pytest.raises(RequestMalformed) as refused:
        parse({"one": ["x"], "two": {"priority": 10, "instruments": []}})
    assert "List one:" in str(refused.value)
    assert "List two:" in str(refused.value)


def test_order_and_origin_are_no_difference():
    """A list with the same bonds in another order and another requester is unchanged."""
    found = compare(
        parse({"desk": [B, A]}), present(desk={"instruments": [A, B], "requested_by": "x", "priority": 5}), prune=False
    )
    assert [change.kind for change in found] == ["unchanged"]
    assert records(found, ASKED, confirm=False) == []


def test_a_value_that_was_refused_is_replaced():
    """A refused list can be replaced, because the file has the whole list."""
    broken = topic({"desk": b"{"})
    (change,) = compare(parse({"desk": [A]}), broken, prune=False)
    assert (change.kind, change.added, change.removed) == ("changed", [A], [])
    assert "not JSON" in change.refusal
    ((_, value),) = records([change], ASKED, confirm=False)
    assert json.loads(value)["requested_at"] == ASKED.at


def test_pausing_is_confirmed_like_a_removal():
    """A pause can be confirmed, because the guard counts paused bonds as dropped."""
    there = present(desk={"instruments": [A]})
    changes = compare(parse({"desk": {"instruments": [A], "paused": True}}), there, prune=False)
    assert changes[0].fields == {"paused": (False, True)}
    assert json.loads(records(changes, ASKED, confirm=True)[0][1])["confirm_removal"] is True
    assert "confirm_removal" not in json.loads(records(changes, ASKED, confirm=False)[0][1])


lists = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.fixed_dictionaries(
        {"instruments": st.lists(st.sampled_from(BONDS), unique=True)},
        optional={"priority": st.integers(0, 9), "paused": st.booleans()},
    ),
    min_size=1,
)


@given(lists, lists, st.booleans())
def test_applying_a_file_makes_the_topic_hold_it(before, wanted, prune):
    """Applying writes the file's lists, prunes others only if asked, and is idempotent."""
    after = {name: json.dumps(value).encode() for name, value in before.items()}
    written = records(compare(parse(wanted), topic(after), prune=prune), ASKED, confirm=True)
    for name, value in written:
        assert value is None or not isinstance(control_record.parse(name, value), control_record.Refusal)
        after[name] = value
    after = {name: value for name, value in after.items() if value is not None}
    assert set(after) == set(wanted) | (set() if prune else set(before))
    assert all(change.kind == "unchanged" for change in compare(parse(wanted), topic(after), prune=prune))
    for name, value in after.items():
        if name in wanted:
            wish = control_record.parse(name, value)
            assert set(wish.instruments) == set(wanted[name]["instruments"])
            assert wish.priority == wanted[name].get("priority", 5)


def held(latest, control, **in_force):
    """Return lists in which desk's latest record is held back and other content is in force."""
    report = {
        "state": "REFUSED",
        "reason": "removal guard: x",
        "control": {"partition": 0, "offset": 7},
        "in_force": {"value": in_force, "control": {"partition": 0, "offset": 1}},
    }
    return current_lists(
        [ControlRecord(b"desk", latest, Position(0, control), 0)] if latest else [], {"list/desk": report}
    )


def test_a_file_that_says_what_is_held_back_is_written_with_its_confirmation():
    """A held-back value that equals the file's is written again, with the confirmation."""
    lists_ = held(b'{"instruments": []}', 7, instruments=[A, B], requested_at="2026-01-01T00:00:00Z")
    changes = compare(parse({"desk": []}), lists_, prune=False)
    assert (changes[0].kind, changes[0].removed) == ("changed", [A, B])
    ((_, value),) = records(changes, ASKED, confirm=True)
    assert json.loads(value)["confirm_removal"] is True
    assert json.loads(value)["requested_at"] == "2026-01-01T00:00:00Z"


def test_a_file_that_says_what_is_in_force_undoes_what_is_held_back():
    """A file that equals the content in force replaces the held-back record."""
    ((_, value),) = records(
        compare(parse({"desk": [A]}), held(b'{"instruments": []}', 7, instruments=[A]), prune=False),
        ASKED,
        confirm=False,
    )
    assert json.loads(value) == {"instruments": [A], "requested_by": ASKED.by, "requested_at": ASKED.at}


def test_a_removal_that_is_held_back_is_pruned_with_a_confirmation():
    """Pruning also removes a list that was held back from removal."""
    changes = compare(parse({"other": [A]}), held(None, 0, instruments=[A]), prune=True)
    assert [(change.name, change.kind) for change in changes] == [("desk", "removed"), ("other", "new")]
    assert [name for name, _ in records(changes, ASKED, confirm=True)] == ["other", "desk", "desk"]


@pytest.mark.parametrize("name", [False, 83, 750, 1.5, None, pytest.param(10**5000, id="huge"), b"x"])
@pytest.mark.parametrize(
    "as_document", [lambda name: {name: [A], "desk": [B]}, lambda name: [{"name": name, "instruments": [A]}]]
)
def test_a_name_that_yaml_took_for_another_value_is_refused(name, as_document):
    """A name such as no, 0123, 12:30, 1.50 or ~ is refused, because YAML changes it."""
    with pytest.raises(RequestMalformed, match="put the name in quotes"):
        parse(as_document(name))


def test_a_file_that_holds_itself_is_refused():
    """A document that contains itself through a YAML alias is refused."""
    document = {}
    document["lists"] = document
    with pytest.raises(RequestMalformed, match="List lists: "):
        parse(document)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"desk": {"instruments": [A], "note": "x" * 1_048_576}}, "List desk would be refused: the value has"),
        ({"desk": {"instruments": [A], "note": "\ud800"}}, "which is not UTF-8"),
        ({"\ud800": [A]}, "which is not UTF-8"),
    ],
)
def test_a_record_the_connector_would_refuse_is_not_written(document, said):
    """A value that is too large only with its requester, or that is not UTF-8, is refused."""
    with pytest.raises(RequestMalformed, match=said):
        records(compare(parse(document), present(), prune=False), ASKED, confirm=False)


MANY = [with_check_digit(f"KR{number:09}") for number in range(20)]


@pytest.mark.parametrize(
    ("wanted", "prune"),
    [
        ({"a": [], "b": MANY}, False),
        ({"z": MANY}, True),
        ({"a": {"instruments": MANY, "paused": True}, "b": MANY}, False),
    ],
)
def test_bonds_that_move_are_wanted_all_the_time(wanted, prune):
    """When bonds move between lists, the gaining list is written first."""
    there = present(a={"instruments": MANY})
    written = records(compare(parse(wanted), there, prune=prune), ASKED, confirm=False)
    assert [name for name, _ in written][-1] == "a"
    assert held_back(there, written) is None


def test_lists_that_gain_and_lose_stand_between():
    """Lists that only gain bonds are written first, lists that only lose bonds last."""
    there = present(a={"instruments": [A]}, b={"instruments": [A]}, c={"instruments": [A]})
    changes = compare(parse({"a": [], "b": [B], "c": [A, B]}), there, prune=False)
    assert [name for name, _ in records(changes, ASKED, confirm=False)] == ["c", "b", "a"]


def still_wanted(there, written):
    """Return the bonds that every state of the lists wants, from before to after the records."""
    wanted = set(there.desired)
    for count in range(1, len(written) + 1):
        wanted &= set(after(there, written[:count]).desired)
    return wanted


def test_two_lists_that_exchange_bonds_never_lose_one():
    """Twelve bonds that change places with twelve others stay wanted after each record."""
    left, right = MANY[:12], [with_check_digit(f"KR{number:09}") for number in range(20, 32)]
    there = present(a={"instruments": left}, b={"instruments": right})
    changes = compare(parse({"a": right, "b": left}), there, prune=False)
    written = records(changes, ASKED, confirm=False)
    assert [(name, set(json.loads(value)["instruments"])) for name, value in written] == [
        ("a", {*left, *right}),
        ("b", {*left, *right}),
        ("a", set(right)),
        ("b", set(left)),
    ]
    assert held_back(there, written) is None
    assert still_wanted(there, written) == {*left, *right}


# The lists that hold a bond before and after.
PLACES = st.sets(st.sampled_from("abc"), max_size=2)


@given(st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=4), st.booleans())
def test_a_bond_that_both_sides_want_is_wanted_all_the_time(moves, confirm):
    """Whatever lists change, no record leaves a bond unwanted that the file goes on to want."""
    before, wanted = (
        {name: [bond for bond, move in zip(MANY, moves, strict=False) if name in move[side]] for name in "abc"}
        for side in (0, 1)
    )
    there = present(**{name: {"instruments": bonds} for name, bonds in before.items()})
    written = records(compare(parse(wanted), there, prune=False), ASKED, confirm=confirm)
    assert still_wanted(there, written) == set(there.desired) & set(after(there, written).desired)


def test_lists_too_long_to_hold_both_are_exchanged_in_order():
    """A list can have no more than 10,000 bonds, not even between two records."""
    bonds = [with_check_digit(f"KR{number:09}") for number in range(12_000)]
    there = present(a={"instruments": bonds[:6000]}, b={"instruments": bonds[6000:]})
    changes = compare(parse({"a": bonds[6000:], "b": bonds[:6000]}), there, prune=False)
    assert [name for name, _ in records(changes, ASKED, confirm=True)] == ["a", "b"]


def test_a_refusal_shows_a_list_name_as_escapes():
    """No list name forges a line or an escape sequence in an error."""
    with pytest.raises(RequestMalformed) as error:
        parse({"a\u200b\x1b\nb": ["x"]})
    assert str(error.value).startswith("List aU+200B\\x1b\\nb: instruments[0]")
