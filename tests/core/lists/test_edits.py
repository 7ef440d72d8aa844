"""What is written to the control topic for an addition or a removal."""

import json
import re

import pytest

from connector.core.bonds.isin import with_check_digit
from connector.core.lists import control_record, edits
from connector.core.lists.edits import CONFIRMED_EMPTY, Request
from connector.core.lists.subscription import ControlRecord, Lists, Position
from connector.errors import RequestMalformed

A, B, C = "KR103502GA34", "KR103502GD31", "KR7005930003"
ASKED = Request("me@here", "2026-01-02T03:04:05Z")
STAMP = {"requested_by": "me@here", "requested_at": "2026-01-02T03:04:05Z"}


def value(**fields):
    """Return a control value."""
    return json.dumps(fields).encode()


def decoded(records):
    """Return records with their values read as JSON."""
    return [(name, None if content is None else json.loads(content)) for name, content in records]


def test_isins_once_each():
    """An ISIN that is given twice counts once, and the order stays."""
    assert edits.check([B, A, B]) == [B, A]


def test_every_malformed_isin_is_named():
    """The error names each malformed ISIN and its fault, and says that nothing was written."""
    with pytest.raises(RequestMalformed) as refused:
        edits.check([A, "KR103502GA35", "kr103502ga34"])
    first, second, last = str(refused.value).splitlines()
    assert first == "KR103502GA35 is not an ISIN: its check digit is wrong, KR103502GA34 would be right."
    assert second.startswith("kr103502ga34 is not an ISIN: it takes two capital letters")
    assert last == "Nothing was written."


def test_add_to_a_new_list():
    """A new list has just these bonds, and says who asked and when."""
    assert decoded(edits.added([B, A], "desk", None, ASKED)) == [("desk", {"instruments": [B, A], **STAMP})]


def test_add_keeps_the_lists_other_fields():
    """Bonds are appended once each; other fields stay, except confirmation and requester."""
    present = value(
        instruments=[A],
        priority=9,
        paused=True,
        note="n",
        requested_by="x",
        requested_at="2020-01-01T00:00:00Z",
        confirm_removal=True,
    )
    expected = {"instruments": [A, B], "priority": 9, "paused": True, "note": "n", **STAMP}
    assert decoded(edits.added([A, B], "desk", present, ASKED)) == [("desk", expected)]


def test_add_to_the_short_form():
    """The list {} under an ISIN holds that bond when another is added to it."""
    assert decoded(edits.added([B], A, b"{}", ASKED)) == [(A, {"instruments": [A, B], **STAMP})]


def test_a_list_that_is_not_understood_is_not_changed():
    """A present value that the connector would refuse is not changed; the error says why."""
    with pytest.raises(RequestMalformed, match="was not understood, so it was not changed: the value is not JSON"):
        edits.added([A], "desk", b"{", ASKED)


def test_a_list_that_would_be_refused_is_not_written():
    """An addition that would exceed a limit is refused before it is written."""
    with pytest.raises(RequestMalformed, match="list name has 201 characters"):
        edits.added([A], "x" * 201, None, ASKED)


@pytest.mark.parametrize(("confirm", "expected"), [(False, [(A, None)]), (True, [(A, CONFIRMED_EMPTY), (A, None)])])
def test_remove(confirm, expected):
    """A bond's own record is tombstoned; with --confirm a confirmed empty list goes before it."""
    assert edits.removed([A], {A: b"{}"}, confirm=confirm) == expected


def test_remove_what_has_no_record():
    """A bond without a record of its own is refused, and the error names the lists that want it."""
    with pytest.raises(RequestMalformed) as refused:
        edits.removed([A, B, C], {C: b"{}", "desk": value(instruments=[A])}, confirm=False)
    assert str(refused.value).splitlines() == [
        f"{A} has no record of its own; it is wanted by desk: use --list.",
        f"{B} has no record of its own, and no list names it.",
        "Nothing was written.",
    ]


@pytest.mark.parametrize("confirm", [False, True])
def test_remove_from_a_list(confirm):
    """The list is written without the bonds, with a confirmation if one was given."""
    records = edits.removed_from("desk", [A], value(instruments=[A, B], note="n"), ASKED, confirm=confirm)
    assert decoded(records) == [
        ("desk", {"instruments": [B], "note": "n", **STAMP} | ({"confirm_removal": True} if confirm else {}))
    ]


@pytest.mark.parametrize(
    ("present", "said"), [(None, "There is no list desk."), (value(instruments=[B]), f"{A} is not in list desk.")]
)
def test_remove_from_a_list_without_the_bond(present, said):
    """An unknown list and a bond that is not in it are refused."""
    with pytest.raises(RequestMalformed, match=said):
        edits.removed_from("desk", [A], present, ASKED, confirm=False)


def test_lists_naming_a_bond():
    """The readable lists that name a bond are returned sorted."""
    records = {"z": value(instruments=[A]), A: b"{}", "b": value(instruments=[B]), "bad": b"{"}
    assert edits.naming(A, records) == [A, "z"]


def test_what_the_guard_would_hold_back_is_known_before_it_is_written():
    """Removing all twelve bonds is held back; removing six, or all with --confirm, is not."""
    many = [with_check_digit(f"KR{number:09}") for number in range(12)]
    topic = [ControlRecord(b"desk", json.dumps({"instruments": many}).encode(), Position(0, 4), 0)]
    lists = edits.current_lists(topic, {})
    assert "would have left 0 of 12" in edits.held_back(lists, [("desk", None)])
    assert edits.held_back(lists, edits.tombstone("desk", confirm=True)) is None
    assert edits.held_back(lists, [("desk", json.dumps({"instruments": many[:6]}).encode())]) is None
    assert edits.held_back(Lists(), [("desk", None)]) is None


def reported(isins, offset, reason=None):
    """Return a list's status record with these bonds in force."""
    held = {"value": {"instruments": isins}, "control": {"partition": 0, "offset": 0}}
    state = "ACCEPTED" if reason is None else "REFUSED"
    control = {"partition": 0, "offset": offset}
    return {
        "list/desk": {"state": state, "instruments": len(isins), "reason": reason, "control": control, "in_force": held}
    }


GUARDED = "removal guard: x"


@pytest.mark.parametrize(
    ("latest", "reason"),
    [(b'{"instruments": []}', GUARDED), (b"", control_record.parse("desk", b"").reason), (None, GUARDED)],
)
def test_what_stays_in_force_of_a_refused_record_is_seen(latest, reason):
    """A list whose latest record is refused keeps its bonds, and its removal meets the guard."""
    many = [with_check_digit(f"KR{number:09}") for number in range(12)]
    topic = [] if latest is None else [ControlRecord(b"desk", latest, Position(0, 4), 0)]
    lists = edits.current_lists(topic, reported(many, 4, reason))
    assert len(lists.entries["desk"].in_force.wish.instruments) == 12
    assert lists.entries["desk"].refusal == reason
    assert "left 0 of 12" in edits.held_back(lists, [("desk", None)])
    assert edits.held_back(lists, edits.tombstone("desk", confirm=True)) is None


def test_a_status_record_without_a_control_record_has_no_effect():
    """A list without a control record is gone, even if its status record still says ACCEPTED."""
    assert dict(edits.current_lists([], reported([A], 0)).entries) == {}


@pytest.mark.parametrize(("name", "present"), [("\udcff", None), ("desk", b'{"instruments": [], "note": "\\ud800"}')])
def test_text_that_is_not_utf8_is_not_written(name, present):
    """A list name or a note with half a surrogate pair is refused."""
    with pytest.raises(RequestMalformed, match="which is not UTF-8"):
        edits.added([A], name, present, ASKED)


@pytest.mark.parametrize(
    "named",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1970-01-01T00:00:00Z", "2026-01-01T09:00:00+09:00"],
)
def test_an_edit_keeps_the_time_a_list_names(named):
    """The time that a list names is kept as written, however extreme it is."""
    content = edits.current_lists([record(requested_at=named)], {}).entries["desk"].in_force
    assert edits.first_requested(content) == named


@pytest.mark.parametrize(
    ("timestamp_ms", "expected"),
    [
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (0, None),
        (2**63 - 1, None),
        (-(2**63), None),
    ],
)
def test_a_list_that_names_no_time_has_its_records_time(timestamp_ms, expected):
    """A list that names no time has the time of its record, if that is a time at all."""
    content = edits.current_lists([record(timestamp_ms)], {}).entries["desk"].in_force
    assert edits.first_requested(content) == expected
    assert edits.first_requested(None) is None


def record(timestamp_ms=0, **fields):
    """Return the control record of a list with one bond."""
    return ControlRecord(b"desk", value(instruments=[A], **fields), Position(0, 1), timestamp_ms)


@pytest.mark.parametrize(
    "refused",
    [
        lambda text: edits.check([text]),
        lambda text: edits.added([A], text, b"{", ASKED),
        lambda text: edits.added([A], text * 201, None, ASKED),
        lambda text: edits.removed([A], {text: value(instruments=[A])}, confirm=False),
        lambda text: edits.removed_from(text, [A], None, ASKED, confirm=False),
        lambda text: edits.removed_from(text, [A], value(instruments=[B]), ASKED, confirm=False),
        lambda text: edits.encoded(text, {"instruments": [], "note": "\ud800"}),
    ],
)
def test_a_refusal_shows_foreign_text_as_escapes(refused):
    """No list name or ISIN forges a line or an escape sequence in an error."""
    with pytest.raises(RequestMalformed) as error:
        refused("a\u200b\x1b\u2028\nb")
    assert "aU+200B\\x1bU+2028\\nb" in str(error.value)


def test_an_addition_above_the_bound_is_refused_before_it_is_written():
    """A record that would bring the desired bonds above 20,000 is not written."""
    isins = [with_check_digit(f"KR{number:09}") for number in range(20_001)]
    halves = {"a": isins[:10_000], "b": isins[10_000:20_000]}
    full = edits.after(Lists(), [(name, value(instruments=half)) for name, half in halves.items()])
    with pytest.raises(RequestMalformed, match="List c would be refused: the desired bonds would be 20001"):
        edits.held_back(full, edits.added(isins[-1:], "c", None, ASKED))


@pytest.mark.parametrize("given", ["desk", "desk\r", " desk ", "\ufeffdesk\r\n"])
def test_names_are_trimmed(given):
    """Blanks, line ends and byte order marks around a name are left out."""
    assert edits.name_to_write(given) == edits.name_to_find(given, {"desk"}) == "desk"


@pytest.mark.parametrize(("given", "code"), [("a\rb", "U+000D"), ("a\u200bb", "U+200B"), ("\x00desk", "U+0000")])
def test_a_name_that_cannot_be_seen_is_refused(given, code):
    """A new name has no control or invisible characters."""
    with pytest.raises(RequestMalformed, match=re.escape(f"holds {code}, which cannot be seen")):
        edits.name_to_write(given)


def test_an_existing_odd_name_is_found():
    """A list whose name another client wrote with a line end is found by exactly that name."""
    assert edits.name_to_find("desk\r", {"desk", "desk\r"}) == "desk\r"


@pytest.mark.parametrize(("given", "name"), [(None, None), ("desk", "desk"), (" desk\r\n", "desk")])
def test_the_list_to_show_is_found(given, name):
    """Without a name all lists are shown, and blanks around a name are left out."""
    assert edits.name_to_show(given, {"desk"}) == name


def test_a_list_that_is_not_there_cannot_be_shown():
    """The sentence names the list, with what cannot be seen made visible."""
    with pytest.raises(RequestMalformed, match=re.escape("There is no list deU+200Bsk.")):
        edits.name_to_show("de\u200bsk", {"desk"})
