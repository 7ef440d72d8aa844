"""What is said about a hole, and that it is said at least once."""

import jsonschema

from connector.core.coverage.announcement import announcements
from connector.core.coverage.day import Day
from connector.core.coverage.facts import Facts
from connector.core.coverage.record import decode, encode
from tests.core.coverage.trades import FRIDAY, ISIN, at, is_weekday, tick
from tests.published import EVENT as SCHEMA

NOW = at("12:00")
AT = "2026-09-11T03:00:00.000Z"


def day_with_a_hole():
    """Return a day with the announced hole (10, 30]."""
    day = Day(ISIN, FRIDAY, is_trading_day=True)
    for each in (tick(0, 10), tick(30, 40)):
        day.add(each, at("10:00"))
    day.settle(NOW, 5000, Facts())
    return day


def kinds(day):
    """Return the kinds of the events that are due."""
    return [event.event for each in announcements(day, AT) for event in each.events]


def test_a_gap_names_bounds_neighbours_and_cause():
    """The event of a hole has all that the record says of it when it is announced."""
    ((gap,),) = (each.events for each in announcements(day_with_a_hole(), AT))
    assert gap.to_json() == {
        "event": "gap",
        "at": AT,
        "slot": 0,
        "instrument": ISIN,
        "detail": {
            "id": f"{ISIN}/2026-09-11/10-30",
            "trade_date": "2026-09-11",
            "from_volume": 10,
            "to_volume": 30,
            "volume": 20,
            "after": {"traded_at": "2026-09-11T01:00:00.000Z", "tick_id": "0-10"},
            "before": {"traded_at": "2026-09-11T01:00:00.000Z", "tick_id": "30-40"},
            "cause": "unknown",
        },
    }


def test_events_obey_the_published_schema():
    """The schema is what other programs are tested against."""
    day = day_with_a_hole()
    day.add(tick(10, 30), NOW)
    ((gap, backfill),) = (each.events for each in announcements(day, AT))
    jsonschema.validate(gap.to_json(), SCHEMA)
    jsonschema.validate(backfill.to_json(), SCHEMA)
    assert backfill.detail["by"] == "late"


def test_an_acknowledged_hole_is_not_announced_again():
    """Then only its filling is news."""
    day = day_with_a_hole()
    announcements(day, AT)[0].acknowledge(day)
    assert (kinds(day), day.holes[0].is_announced) == ([], True)
    day.add(tick(10, 30, source="rest", slot=None), NOW)
    ((backfill,),) = (each.events for each in announcements(day, AT))
    assert (backfill.event, backfill.detail["by"], backfill.detail["id"]) == ("backfill", "rest", day.holes[0].id)
    announcements(day, AT)[0].acknowledge(day)
    assert kinds(day) == []


def test_a_hole_filled_before_its_gap_was_told_gets_both_events():
    """Each hole has at least one gap event."""
    day = day_with_a_hole()
    day.add(tick(10, 30), NOW)
    assert kinds(day) == ["gap", "backfill"]


def test_a_hole_filled_while_its_gap_is_sent_is_announced_once_more():
    """The acknowledgement of a gap says nothing about the filling."""
    day = day_with_a_hole()
    (gap,) = announcements(day, AT)
    day.add(tick(10, 30), NOW)
    gap.acknowledge(day)
    assert (day.holes[0].is_announced, kinds(day)) == (False, ["backfill"])


def test_a_restart_repeats_what_may_not_have_been_told():
    """The record says `false` until the events are acknowledged."""
    day = day_with_a_hole()
    announcements(day, AT)[0].acknowledge(day)
    day.add(tick(10, 30), NOW)
    key, value, headers = encode(day)
    again = decode(key, value, dict(headers), NOW, is_weekday)
    assert kinds(again) == ["gap", "backfill"]
    for each in announcements(again, AT):
        each.acknowledge(again)
    key, value, headers = encode(again)
    assert kinds(decode(key, value, dict(headers), NOW, is_weekday)) == []


def test_an_acknowledgement_has_to_be_recorded():
    """The record with `true` follows the event."""
    day = day_with_a_hole()
    encode(day)
    announcements(day, AT)[0].acknowledge(day)
    assert day.is_changed
