"""What the records of one date say together."""

import json
from datetime import date

import pytest

from connector.core.coverage import overview
from connector.core.coverage.day import Day
from connector.core.coverage.facts import Facts
from connector.core.coverage.overview import NO_RECORD, Row, is_lacking, readable, rows, total, wanted
from connector.core.coverage.record import encode
from tests.core.coverage.trades import FRIDAY, ISIN, MONDAY, at, tick

OTHER = "KR6095572D81"


def value(**changed):
    """Return the value of a record with a hole, as JSON reads it, with other fields."""
    day = Day(ISIN, FRIDAY, is_trading_day=True)
    for each in (tick(0, 10, offset=1), tick(30, 40, offset=2)):
        day.add(each, at("10:00"))
    day.settle(at("12:00"), 5000, Facts())
    return json.loads(encode(day)[1]) | changed


def test_a_record_is_read_as_it_was_written():
    """What the auditor writes is readable."""
    assert readable(json.dumps(value()).encode()) == value()


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "FINE"},
        {"state": "ABSENT", "ticks": "2"},
        {"missing_volume": -1},
        {"missing_volume": True},
        {"holes": {}},
        {"holes": [{}]},
        {"holes": [{**value()["holes"][0], "remaining": [[1]]}]},
        {"holes": [{**value()["holes"][0], "after": "10:00"}]},
        {"holes": [{**value()["holes"][0], "state": 5}]},
        {"offsets": None},
        {"checked": "rest"},
    ],
)
def test_what_is_no_record_is_not_read(changed):
    """Anyone may write to the topic."""
    assert readable(json.dumps(value(**changed)).encode()) is None


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"null", b"[" * 100_000])
def test_what_is_no_object_is_not_read(text):
    """Broken JSON never raises."""
    assert readable(text) is None


def test_the_record_with_fewer_ticks_is_older():
    """Of two records under one key the one with the lower offset is ignored."""
    assert overview.is_older({"offsets": {"3": 1}}, {"offsets": {"3": 2}})
    assert overview.is_older({"offsets": {}}, {"offsets": {"3": 2}})
    assert not overview.is_older({"offsets": {"3": 2}}, {"offsets": {"3": 2}})
    assert not overview.is_older({"offsets": {"3": 3, "4": 0}}, {"offsets": {"3": 2}})


def test_a_bond_was_wanted_if_it_was_asked_for_by_then():
    """A bond whose `wanted_since` is lost counts as wanted."""
    status = {
        "instrument/KR103502GA34": {"wanted_since": "2026-09-11T14:59:59Z"},
        "instrument/KR6095572D81": {"wanted_since": "2026-09-11T15:00:00Z"},
        "instrument/KR2033022D33": {"wanted_since": None},
        "slot/0": {"wanted_since": None},
    }
    assert wanted(status, FRIDAY) == {ISIN, "KR2033022D33"}
    assert wanted(status, date(2026, 9, 12)) == {ISIN, OTHER, "KR2033022D33"}


def test_a_wanted_bond_without_a_record_is_absent():
    """It has a row, and counts nothing."""
    found = rows({ISIN: value()}, [OTHER])
    assert [(row.instrument, row.value["state"]) for row in found] == [(ISIN, "HOLES"), (OTHER, "ABSENT")]
    sums = total(found)
    assert (sums["bonds"], sums["states"]["HOLES"], sums["states"]["ABSENT"]) == (2, 1, 1)
    assert (sums["ticks"], sums["covered_volume"], sums["accumulated_volume"], sums["missing_volume"]) == (
        2,
        20,
        40,
        20,
    )


def test_filled_holes_are_no_longer_holes():
    """A row shows what is still missing."""
    filled = {**value()["holes"][0], "state": "FILLED", "remaining": []}
    assert Row(ISIN, value(holes=[filled])).holes == []
    (hole,) = Row(ISIN, value()).holes
    assert (overview.missing_of(hole), overview.is_wanted(hole)) == (20, True)
    assert not overview.is_wanted({**hole, "cause": "not_wanted"})


@pytest.mark.parametrize(
    ("state", "today", "is_it"),
    [
        ("COMPLETE", MONDAY, False),
        ("OPEN", FRIDAY, False),
        ("OPEN", MONDAY, True),
        ("HOLES", FRIDAY, True),
        ("UNPROVEN", FRIDAY, True),
    ],
)
def test_what_strict_finds_fault_with(state, today, is_it):
    """A day may be open only while it lasts."""
    assert is_lacking(Row(ISIN, value(state=state)), FRIDAY, today) is is_it
    assert is_lacking(Row(ISIN, NO_RECORD), FRIDAY, today)
