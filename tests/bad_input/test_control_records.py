"""Bad-input matrix, control records: a bad one is refused whole, an odd one is accepted."""

import json

import jsonschema
import pytest

from connector.core import status
from connector.core.bonds import isin
from connector.core.kis.slot_view import SlotView
from connector.core.lists.subscription import ControlRecord, Lists, Position
from connector.core.slots.placement import placement
from connector.core.status import ReplicaView
from tests.core.lists.at_once import apply, desired
from tests.published import STATUS as SCHEMA

BONDS = [isin.with_check_digit(f"KR{number:09}") for number in range(60)]
GOOD = {"instruments": BONDS[:20], "note": "국고"}
NOW = "2026-11-20T00:00:00.000Z"


def value(**fields):
    """Return the good control record's value with some fields changed."""
    return json.dumps(GOOD | fields).encode()


def judged(*records):
    """Return lists and statuses after `desk` at offset 1, and these records from offset 7 on."""
    history = [(b"desk", value()), *records]
    lists = Lists()
    for place, (key, content) in enumerate(history):
        lists = apply(lists, ControlRecord(key, content, Position(0, 6 + place if place else 1), 1000 + place))
    slots = {0: SlotView(0, "CONNECTED", 41, 0, None, None, {})}
    made = status.records(ReplicaView(placement(list(lists.desired), {0: 41}), slots, lists, "test"), {}, NOW)
    for record in made.values():
        jsonschema.validate(json.loads(status.encode(record)), SCHEMA)
    return lists, made


REFUSED = {
    "empty value": (b"", "the value has zero length"),
    "two mebibytes": (value(note="x" * 2**21), "at most 104"),
    "not UTF-8": (b'{"note": "\xff"}', "the value is not UTF-8 at byte 10"),
    "BOM": (b"\xef\xbb\xbf" + value(), "the value is not JSON"),
    "cut off": (value()[:-1], "the value is not JSON"),
    "text after the object": (value() + b"}", "the value is not JSON"),
    "NUL": (b"\x00", "the value is not JSON"),
    "NaN": (b'{"instruments": [], "priority": NaN}', "NaN is not a JSON"),
    "number of five thousand digits": (
        b'{"instruments": [], "priority": ' + b"9" * 5000 + b"}",
        "the value is not JSON",
    ),
    "deep nesting": (b'{"instruments":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "duplicate keys": (b'{"instruments": [], "instruments": []}', '"instruments" is there twice'),
    "duplicate keys inside": (b'{"instruments": [], "note": {"a": 1, "a": 2}}', '"a" is there twice'),
    "array": (b"[]", "the value is an array"),
    "null": (b"null", "the value is null"),
    "unknown field": (value(instrument="x"), '"instrument" is unknown'),
    "unknown field in a foreign script": (json.dumps({**GOOD, "종목": 1}).encode(), '"종목" is unknown'),
    "unknown field of half a surrogate pair": (value(**{"\ud800": 1}), r'"U+D800" is unknown'),
    "no instruments": (b'{"priority": 5}', "instruments is missing"),
    "instruments a text": (value(instruments=BONDS[0]), "instruments is "),
    "instruments an object": (value(instruments={}), "instruments is an object"),
    "ISIN too short": (value(instruments=[*BONDS[:20], BONDS[0][:11]]), "instruments[20]"),
    "ISIN in lower case": (value(instruments=[*BONDS[:20], BONDS[0].lower()]), "is not an ISIN"),
    "ISIN with a wrong check digit": (
        value(instruments=["KR103502GA35"]),
        "has a wrong check digit: KR103502GA34 would be right",
    ),
    "ISIN a number": (value(instruments=[7]), "instruments[0] is 7"),
    "too many instruments": (value(instruments=BONDS * 200), "instruments has 12000 entries"),
    "priority a fraction": (value(priority=5.0), "priority is 5.0"),
    "priority true": (value(priority=True), "priority is true"),
    "priority 10": (value(priority=10), "priority is 10"),
    "paused a text": (value(paused="no"), "paused is"),
    "time without an offset": (value(requested_at="2026-11-20T09:00:00"), "RFC 3339 with an offset"),
    "time that is not there": (value(requested_at="2026-02-30T09:00:00Z"), "there is no such time"),
    "note an array": (value(note=["a"]), "note is an array"),
    "mass removal": (value(instruments=BONDS[:9]), "removal guard: this record would have left 9 of 20"),
    "mass removal by pausing": (value(paused=True), "removal guard: this record would have left 0 of 20"),
    "mass removal by an empty list": (value(instruments=[]), "removal guard"),
    "mass removal by a tombstone": (None, "removal guard: this tombstone would have left 0 of 20"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_record_is_refused_whole(name):
    """A bad record changes no bond; its list's status has the reason and its offset."""
    content, reason = REFUSED[name]
    lists, records = judged((b"desk", content))
    assert sorted(bond.isin for bond in desired(lists)) == BONDS[:20]
    shown = records["list/desk"]
    assert (shown["state"], shown["control"], shown["instruments"]) == ("REFUSED", {"partition": 0, "offset": 7}, 20)
    assert reason in shown["reason"]
    assert len(shown["reason"].encode()) < 1000
    assert shown["in_force"] == {"value": GOOD, "control": {"partition": 0, "offset": 1}}


@pytest.mark.parametrize("key", [None, b"\xff", b"\xc3", b"x" * 1001, b"x" * 1_000_000])
def test_a_key_that_names_no_list_changes_nothing(key):
    """A record with no key, or one not UTF-8 or too long, changes neither lists nor status."""
    assert judged((key, value(instruments=BONDS)))[1] == judged()[1]


@pytest.mark.parametrize("key", [b"", b"x" * 201, b"x" * 1000])
def test_a_list_name_of_a_wrong_length_is_refused(key):
    """A list name that is empty or too long is refused, with the limits."""
    _, records = judged((key, value()))
    assert "1 to 200 are allowed" in records[f"list/{key.decode()}"]["reason"]


ACCEPTED = {
    "as before": (value(), BONDS[:20]),
    "duplicates in the list": (value(instruments=BONDS[:20] * 2), BONDS[:20]),
    "half of it removed": (value(instruments=BONDS[:10]), BONDS[:10]),
    "confirmed removal": (value(instruments=[], confirm_removal=True), []),
    "null in every optional field": (
        value(priority=None, paused=None, requested_by=None, requested_at=None, note=None),
        BONDS[:20],
    ),
    "note of nearly a mebibyte": (value(note="x" * (2**20 - 1000)), BONDS[:20]),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_odd_record_is_accepted(name):
    """A record that the contract allows is in force as soon as it is read."""
    content, expected = ACCEPTED[name]
    lists, records = judged((b"desk", content))
    assert sorted(bond.isin for bond in desired(lists)) == expected
    shown = records["list/desk"]
    assert (shown["state"], shown["reason"], shown["instruments"]) == ("ACCEPTED", None, len(expected))
    assert shown["in_force"]["control"] == shown["control"] == {"partition": 0, "offset": 7}


def test_a_tombstone_removes_a_small_list():
    """The tombstone of a list of one bond removes the list and its status."""
    assert judged((BONDS[50].encode(), b"{}"), (BONDS[50].encode(), None))[1] == judged()[1]


def test_the_later_of_two_records_counts():
    """The later of two records for a key is in force, even with a bad one between them."""
    lists, records = judged(
        (b"desk", value(instruments=BONDS[:30])), (b"desk", b"{"), (b"desk", value(instruments=BONDS[5:25]))
    )
    assert sorted(bond.isin for bond in desired(lists)) == BONDS[5:25]
    assert records["list/desk"]["control"] == {"partition": 0, "offset": 9}


def test_a_good_record_releases_what_a_bad_one_held():
    """A refused list is accepted again with its next good record."""
    _, records = judged((b"desk", b"{"), (b"desk", value()))
    assert (records["list/desk"]["state"], records["list/desk"]["reason"]) == ("ACCEPTED", None)


def test_one_bond_over_the_limit_waits():
    """Of 42 bonds for 41 places, the last by priority, time and ISIN waits for capacity."""
    lists, records = judged(
        (b"more", value(instruments=BONDS[20:41], priority=9)), (BONDS[59].encode(), b'{"priority": 0}')
    )
    assert len(desired(lists)) == 42
    waiting = [key for key, record in records.items() if record["state"] == "WAITING_CAPACITY"]
    assert waiting == [f"instrument/{BONDS[59]}"]
    assert records[waiting[0]]["slot"] is None
    assert {record["state"] for key, record in records.items() if key.startswith("list/")} == {"ACCEPTED"}
