"""Telling coverage records from other records of the topic."""

import json

import pytest

from connector.core.coverage.readable import readable
from tests.core.coverage.trades import value


def hole(**changed):
    """Return a record that has the usual hole with other fields; None removes a field."""
    fields = {**value()["holes"][0], **changed}
    return {"holes": [{name: each for name, each in fields.items() if each != "removed"}]}


def test_a_record_is_read_as_it_was_written():
    """What the auditor writes is readable."""
    assert readable(json.dumps(value()).encode()) == value()


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "FINE"},
        {"state": ["OPEN"]},
        {"state": "ABSENT"},
        {"reason": 5},
        {"missing_volume": -1},
        {"missing_volume": True},
        {"missing_volume": 10**4299},
        {"holes": {}},
        {"holes": [{}]},
        hole(remaining=[[1]]),
        hole(remaining=[[5, 20]]),
        hole(remaining=[[10, 20], [15, 30]]),
        hole(remaining=[[20, 20]]),
        hole(to_volume=41),
        hole(from_volume=31),
        {"holes": [value()["holes"][0]] * 2},
        hole(after="10:00"),
        hole(after="removed"),
        hole(before={"traded_at": "9999-12-31T23:59:59Z", "tick_id": "x"}),
        hole(before={"traded_at": "2026-09-11T01:00:00Z", "tick_id": ["x"]}),
        hole(state=5),
        {"trade_date": ["2026-09-11"] * 9},
        {"reason": "\ud800"},
        {"more": float("nan")},
        hole(cause="removed"),
        hole(cause=None),
        hole(cause=["unknown"]),
        hole(cause="x" * 101),
        hole(id="x" * 101),
        hole(before={"traded_at": "2026-09-11T01:00:00Z", "tick_id": "x" * 101}),
        hole(announced=1),
        {"offsets": None},
        {"offsets": {"3": -1}},
        {"offsets": {"three": 1}},
        {"offsets": {"9" * 5000: 1}},
        {"checked": "rest"},
        {"checked": {"at": "soon", "accumulated_volume": 1, "by": "rest"}},
        {"checked": {"at": "2026-09-11T01:00:00Z", "accumulated_volume": 1, "by": "me"}},
    ],
)
def test_what_is_no_record_is_not_read(changed):
    """Anyone may write to the topic."""
    assert readable(json.dumps(value(**changed)).encode()) is None


def test_unknown_fields_are_left_out():
    """They may hold anything, and neither fill the memory nor reach the page."""
    sound = value()
    spoilt = json.loads(json.dumps(sound))
    for fields in (spoilt, *spoilt["holes"], *(each["after"] or {} for each in spoilt["holes"])):
        fields["more"] = [[]]
    spoilt["checked"] = {"at": "2026-09-11T01:00:00Z", "accumulated_volume": 1, "by": "rest", "more": [[]]}
    found = readable(json.dumps(spoilt).encode())
    assert "more" not in json.dumps(found)
    assert found["holes"] == sound["holes"]


@pytest.mark.parametrize("name", value())
def test_only_the_date_may_be_left_out(name):
    """The date is in the key; a record without another field is none."""
    fields = value()
    del fields[name]
    assert (readable(json.dumps(fields).encode()) is None) == (name not in ("trade_date", "checked"))


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"null", b"[" * 100_000, b"1" * 5_000])
def test_what_is_no_object_is_not_read(text):
    """Broken JSON never raises."""
    assert readable(text) is None
