"""The coverage record, out and in."""

import json

import jsonschema
import pytest

from connector.core.coverage.day import Day
from connector.core.coverage.facts import Facts
from connector.core.coverage.record import NotACoverageRecord, decode, encode, resume_of, split_key, value_of
from tests.core.coverage.trades import FRIDAY, ISIN, at, is_weekday, tick
from tests.published import COVERAGE as SCHEMA

NOW = at("12:00")


@pytest.fixture
def day():
    """Return a day with a filled, an open, a cut and a new hole."""
    made = Day(ISIN, FRIDAY, is_trading_day=True)
    for low, high in ((10, 20), (30, 40), (60, 70)):
        made.add(tick(low, high, f"10:0{low // 10}", offset=low), at("10:00"))
    facts = Facts()
    facts.wanted_since(ISIN, at("10:00"))
    made.settle(NOW, 5000, facts)
    made.holes[0].is_announced = True
    made.add(tick(20, 30, "10:07", source="rest", slot=None, offset=71), NOW)
    made.add(tick(45, 50, "10:08", offset=72), NOW)
    made.add(tick(80, 90, "10:09", offset=73), NOW)
    made.check_by_ticks(NOW)
    return made


def again(day, **changed):
    """Return the day as it is read back from its record."""
    key, value, headers = encode(day)
    return decode(key, json.dumps({**json.loads(value), **changed}).encode(), dict(headers), NOW, is_weekday)


def test_a_record_says_what_is_covered_and_what_is_missing(day):
    """Every field of the contract is there."""
    day.holes.sort(key=lambda hole: hole.low)
    assert value_of(day) | {"holes": None} == {
        "trade_date": "2026-09-11",
        "state": "HOLES",
        "reason": None,
        "ticks": 6,
        "repeats": 0,
        "irregular": 0,
        "covered_volume": 55,
        "accumulated_volume": 90,
        "missing_volume": 25,
        "unwanted_volume": 10,
        "holes": None,
        "checked": {"at": "2026-09-11T03:00:00.000Z", "accumulated_volume": 90, "by": "ticks"},
        "offsets": {"3": 73},
    }
    holes = value_of(day)["holes"]
    assert holes[2] == {
        "id": f"{ISIN}/2026-09-11/40-60",
        "from_volume": 40,
        "to_volume": 60,
        "remaining": [[40, 45], [50, 60]],
        "after": {"traded_at": "2026-09-11T01:03:00.000Z", "tick_id": "30-40"},
        "before": {"traded_at": "2026-09-11T01:06:00.000Z", "tick_id": "60-70"},
        "cause": "unknown",
        "state": "OPEN",
        "announced": False,
    }
    found = [(each["from_volume"], each["state"], each["cause"], each["announced"]) for each in holes]
    assert found == [
        (0, "OPEN", "not_wanted", True),
        (20, "FILLED", "unknown", False),
        (40, "OPEN", "unknown", False),
        (70, "OPEN", None, False),
    ]


def test_a_record_that_is_read_back_is_the_same(day):
    """A restart changes neither counts nor holes nor what their causes rest on."""
    found = again(day)
    assert value_of(found) == value_of(day)
    assert resume_of(found) == resume_of(day)
    assert not found.is_changed
    assert not day.is_changed


def test_records_obey_the_published_schema(day):
    """The schema is what other programs are tested against."""
    jsonschema.validate(value_of(day), SCHEMA)
    jsonschema.validate(value_of(Day(ISIN, FRIDAY, is_trading_day=True)), SCHEMA)
    day.doubt = "deleted"
    jsonschema.validate(value_of(day), SCHEMA)
    for wrong in ({"state": "LOST"}, {"reason": None}, {"offsets": {"a": 1}}, {"missing_volume": -1}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**value_of(day), **wrong}, SCHEMA)


def test_a_day_goes_on_from_its_record(day):
    """A tick after the restart has the same neighbours as without it, and one before is skipped."""
    found = again(day)
    assert found.add(tick(95, 96, offset=73), NOW) == "skipped"
    for each in (day, found):
        each.add(tick(95, 96, "10:10", offset=74), NOW)
        each.settle(NOW + 5000, 5000, Facts())
    assert value_of(found) == value_of(day)


def test_a_hole_that_is_listed_in_part_outlives_a_restart(day, monkeypatch):
    """Its record says what remains, and the ticks that fill this do not fill the hole."""
    monkeypatch.setattr("connector.core.coverage.day.MOST_HOLES", 1)
    monkeypatch.setattr("connector.core.coverage.day.MOST_PIECES", 4)
    day.add(tick(54, 55, "10:10", offset=74), NOW)
    found = again(day)
    assert (value_of(found), resume_of(found)) == (value_of(day), resume_of(day))
    for number, (low, high) in enumerate(((40, 45), (55, 60))):
        found.add(tick(low, high, "10:11", offset=75 + number), NOW)
    (hole,) = (each for each in found.holes if each.low == 40)
    assert (hole.state, hole.unlisted, found.remaining(hole), found.missing_volume) == ("OPEN", 4, [], 14)


def test_a_new_hole_waits_again_after_a_restart(day):
    """How long its bounds had stood is not in the record."""
    found = again(day)
    found.settle(NOW + 4999, 5000, Facts())
    assert value_of(found)["holes"][3]["id"] is None


@pytest.mark.parametrize("reason", ["taken_back", "deleted", "partitions"])
def test_a_doubt_outlives_a_restart(day, reason):
    """What made the day unproven is read back."""
    assert value_of(again(day, reason=reason))["reason"] == reason


def test_a_day_without_ticks_outlives_a_restart():
    """The same holds for a day on which nothing came."""
    day = Day(ISIN, FRIDAY, is_trading_day=True)
    day.check_by_ticks(NOW)
    assert value_of(again(day)) == value_of(day)
    assert again(day).reason == "no_ticks"


def test_a_record_without_resume_can_be_read(day):
    """The value alone is the contract; neighbours then have their trade times only."""
    key, value, _ = encode(day)
    found = decode(key, value, {}, NOW, is_weekday)
    assert value_of(found) == value_of(day)
    assert found.stretches.last is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"KR103502GA34", b"{}"),
        (b"KR103502GA34/yesterday", b"{}"),
        (b"KR103502GA34/2026-09-11", b"{}"),
        (b"KR103502GA34/2026-09-11", b"[]"),
        (b"KR103502GA34/2026-09-11", b"\xff"),
        (b"KR103502GA34/2026-09-11", b"null"),
        (b"KR103502GA34/2026-09-11", b'{"a":' + b"[" * 90_000),
        (b"KR103502GA34/2026-09-11", b'{"ticks":1e999,"repeats":0,"irregular":0}'),
    ],
)
def test_what_is_no_record_is_named(key, value):
    """Anyone may write to the topic."""
    with pytest.raises(NotACoverageRecord):
        decode(key, value, {}, NOW, is_weekday)


def test_a_key_names_bond_and_date():
    """The key is the ISIN, a slash, and the date."""
    assert split_key("KR103502GA34/2026-09-11") == (ISIN, FRIDAY)


@pytest.mark.parametrize("key", ["bond/2026-09-11", "KR103502GA34/9999-12-31", "KR103502GA34/0001-01-01", "/", ""])
def test_a_key_of_no_bond_or_no_plausible_date_is_refused(key):
    """Dates are reckoned with, so one at the end of the calendar would stop the auditor."""
    with pytest.raises(NotACoverageRecord):
        split_key(key)


@pytest.mark.parametrize(
    "resume",
    [
        b"[]",
        b"{",
        b'{"last":[1,"x",2,[]]}',
        b'{"last":[1]}',
        b'{"last":[1700000000000,"' + b"x" * 101 + b'",1700000000000,0]}',
        b'{"last":[1700000000000,["x"],1700000000000,0]}',
        b'{"last":7}',
        b'{"sides":{"a":[1e400,0]}}',
        b'{"sides":{"a":5}}',
        b'{"sides":[1]}',
        b'{"until":{"a":"soon"}}',
        b'{"filled_by":{"a":"me"}}',
        b'{"broken":-1}',
        b'{"unlisted":1e400}',
        b'{"unlisted_of":{"a":-1}}',
        b"[" * 100_000,
    ],
)
def test_a_header_that_we_did_not_write_is_refused(day, resume):
    """What it holds is reckoned with later, where it would stop the auditor."""
    key, value, _ = encode(day)
    with pytest.raises(NotACoverageRecord):
        decode(key, value, {"resume": resume}, NOW, is_weekday)
