"""The coverage of one bond on one date."""

import pytest

from connector.core.coverage.day import MOST_HOLES, MOST_PIECES, Day
from connector.core.coverage.facts import Facts
from connector.core.coverage.readings import RestTrade, Total
from tests.core.coverage.trades import FRIDAY, ISIN, at, tick

WAIT = 5000
NOON = at("12:00")
OVER = at("15:35")


def day_of(*ticks, is_trading_day=True):
    """Return the day after ticks."""
    day = Day(ISIN, FRIDAY, is_trading_day=is_trading_day)
    for each in ticks:
        day.add(each, at("10:00"))
    return day


def settle(day, facts=None, now=NOON):
    """Announce what has stood long enough."""
    day.settle(now, WAIT, facts or Facts())
    return day


@pytest.fixture
def holed():
    """Return a day with the hole (10, 30], announced, and (0, 10] and (30, 40] covered."""
    return settle(day_of(tick(0, 10), tick(30, 40)))


def counts(day):
    """Return ticks, repeats and irregular ticks."""
    return day.ticks, day.repeats, day.irregular


def volumes(day):
    """Return covered, accumulated, missing and unwanted volume."""
    return day.covered_volume, day.accumulated_volume, day.missing_volume, day.unwanted_volume


def test_a_day_without_holes_is_open_until_it_is_checked():
    """The day goes on, and no hole is known."""
    day = settle(day_of(tick(0, 10), tick(10, 40)))
    assert (day.state, volumes(day), day.holes) == ("OPEN", (40, 40, 0, 0), [])


def test_a_hole_gets_its_id_once_its_bounds_have_stood():
    """Ticks that come in another order make no hole."""
    day = day_of(tick(0, 10), tick(30, 40))
    settle(day, now=at("10:00") + WAIT - 1)
    assert (day.holes, day.state, day.missing_volume) == ([], "OPEN", 20)
    settle(day, now=at("10:00") + WAIT)
    assert [(hole.id, hole.cause) for hole in day.holes] == [(f"{ISIN}/2026-09-11/10-30", "unknown")]
    assert (day.state, volumes(day)) == ("HOLES", (20, 40, 20, 0))


def test_an_announced_hole_keeps_its_bounds_while_it_is_filled(holed):
    """What remains of it shrinks; the id stays."""
    holed.add(tick(15, 20), NOON)
    settle(holed, now=NOON + WAIT)
    (hole,) = holed.holes
    assert (hole.low, hole.high, holed.remaining(hole), hole.state) == (10, 30, [(10, 15), (20, 30)], "OPEN")
    holed.add(tick(10, 15), NOON)
    holed.add(tick(20, 30, source="rest", slot=None), NOON)
    assert (hole.state, hole.filled_by, holed.remaining(hole), holed.state) == ("FILLED", "rest", [], "OPEN")


@pytest.mark.parametrize(("source", "by"), [("ws", "late"), ("rest", "rest"), ("replay", "replay")])
def test_the_tick_that_fills_the_last_of_a_hole_says_how(holed, source, by):
    """A hole is filled late, by REST or by a replay."""
    holed.holes[0].is_announced = True
    holed.add(tick(10, 30, source=source), NOON)
    assert (holed.holes[0].filled_by, holed.holes[0].is_announced) == (by, False)


def test_ticks_are_counted_by_what_they_did():
    """A wholly covered interval is a repeat; a partly covered or empty one is irregular."""
    day = day_of(tick(0, 10), tick(0, 10), tick(2, 5), tick(5, 15), tick(15, 15), tick(15, 20))
    assert (counts(day), volumes(day)) == ((6, 2, 2), (20, 20, 0, 0))


def test_a_tick_without_volume_shows_how_far_the_day_is():
    """Its accumulated volume was traded, but by whom no tick tells."""
    day = settle(day_of(tick(0, 10), tick(30, 30, "10:01"), tick(30, 40)))
    assert volumes(day) == (20, 40, 20, 0)
    assert (day.holes[0].after.tick_id, day.holes[0].before.tick_id) == ("0-10", "30-30")


def test_a_tick_larger_than_the_day_covers_the_day_and_is_irregular():
    """Its interval begins below zero; what of it lies in the day is covered."""
    day = day_of(tick(5, 10), tick(0, 8, volume=20))
    assert (counts(day), volumes(day), day.broken) == ((2, 0, 1), (10, 10, 0, 0), 1)


def test_what_a_record_holds_is_skipped():
    """Ticks are read again after a restart; counts stay exact."""
    day = day_of(tick(0, 10, offset=7))
    day.is_changed = False
    assert day.add(tick(10, 20, offset=7), NOON) == "skipped"
    assert (day.ticks, day.offsets, day.is_changed) == (1, {3: 7}, False)


def test_a_date_on_which_the_exchange_is_closed_has_no_holes():
    """KIS may send the last tick of an earlier day again."""
    day = settle(day_of(tick(30, 40), tick(90, 95), is_trading_day=False))
    assert (counts(day), volumes(day), day.holes, day.state) == ((2, 0, 2), (0, 0, 0, 0), [], "COMPLETE")


def test_a_hole_before_the_bond_was_wanted_is_no_missing_volume():
    """It counts apart, and the day can be complete."""
    facts = Facts()
    facts.wanted_since(ISIN, at("09:59"))
    day = settle(day_of(tick(30, 40, "10:00")), facts)
    assert (day.holes[0].cause, volumes(day), day.state) == ("not_wanted", (10, 40, 0, 30), "OPEN")
    day.check_by_ticks(OVER)
    assert day.state == "COMPLETE"


def test_a_cause_that_becomes_known_later_replaces_unknown(holed):
    """The event of the cause may be read after the hole was announced."""
    holed.is_changed = False
    facts = Facts()
    facts.dead_letter(ISIN, at("10:00"))
    settle(holed, facts)
    assert (holed.holes[0].cause, holed.is_changed) == ("dead_letter", True)
    facts.event({"event": "session_up", "at": "2026-09-11T00:00:00Z", "slot": 0, "detail": {}})
    assert settle(holed, facts).holes[0].cause == "dead_letter"


def test_a_day_whose_ticks_overlap_proves_nothing():
    """Loss explains a jump, but not an overlap of one session."""
    ticks = [tick(n, n + 2) for n in range(0, 40, 2)]
    assert day_of(*ticks, tick(39, 42)).reason == "law"
    assert day_of(*ticks[1:], tick(39, 42)).state == "OPEN"
    assert day_of(*ticks, tick(39, 42, slot=1)).reason is None


def test_a_day_of_which_every_fifth_pair_jumps_proves_nothing():
    """Unless something interrupted the feed, KIS counts in a way we do not know."""
    ticks = [tick(n * 10, n * 10 + (5 if n < 5 else 10)) for n in range(21)]
    day = settle(day_of(*ticks))
    assert (len(day.holes), day.state, day.reason) == (5, "UNPROVEN", "law")
    for hole in day.holes[:1]:
        hole.cause = "reset"
    assert (day.state, day.reason) == ("HOLES", None)


def test_more_holes_than_a_record_can_hold_are_one_sum():
    """Memory and the record stay bounded, and the day proves nothing."""
    day = day_of(*(tick(n * 10, n * 10 + 1) for n in range(MOST_HOLES + 11)))
    assert (len(day.stretches.missing), day.unlisted) == (MOST_HOLES, 90)
    assert volumes(day) == (MOST_HOLES + 11, MOST_HOLES * 10 + 101, MOST_HOLES * 9 + 90, 0)
    assert (day.state, day.reason) == ("UNPROVEN", "law")


@pytest.mark.parametrize(("settled", "most"), [(False, MOST_HOLES), (True, MOST_PIECES)])
def test_ticks_that_cut_a_hole_into_too_many_pieces_leave_a_sum(settled, most):
    """The first stretches stay known, the volume stays right, and the day proves nothing."""
    high = 10 * (most + 100)
    day = day_of(tick(high, high + 1))
    if settled:
        settle(day)
    for number in range(1, most + 50):
        day.add(tick(10 * number, 10 * number + 1), NOON)
    assert len(day.stretches.missing) == most
    assert (day.unlisted, day.state, day.reason) == (9 * 50, "UNPROVEN", "law")
    assert volumes(day) == (most + 50, high + 1, high + 1 - (most + 50), 0)
    day.add(tick(0, 10), NOON)
    assert volumes(day) == (most + 60, high + 1, high + 1 - (most + 60), 0)


@pytest.fixture
def cut_hole(monkeypatch):
    """Return what makes a day with the hole (0, 1000], of which only (900, 1000] is listed."""
    monkeypatch.setattr("connector.core.coverage.day.MOST_HOLES", 1)
    monkeypatch.setattr("connector.core.coverage.day.MOST_PIECES", 1)

    def make(facts=None):
        day = settle(day_of(tick(1000, 1010)), facts)
        day.add(tick(890, 900), NOON)
        return day

    return make


def test_a_hole_of_which_a_part_is_only_counted_is_never_filled(cut_hole):
    """Ticks that fill all that is listed say nothing about the rest, nor do they announce it."""
    day = cut_hole()
    (hole,) = day.holes
    hole.is_announced = True
    assert (day.remaining(hole), day.unlisted) == ([(900, 1000)], 890)
    day.add(tick(900, 1000), NOON)
    assert (hole.state, hole.is_announced, day.remaining(hole), day.missing_volume) == ("OPEN", True, [], 890)


def test_a_hole_of_which_a_part_is_only_counted_is_not_confirmed(cut_hole):
    """KIS's list may have trades of the part that nobody can look for."""
    day = cut_hole()
    trades = [RestTrade("100200", "1", 10, 800), RestTrade("100300", "1", 10, 1010)]
    assert day.read_trades(trades) == []
    assert day.holes[0].state == "OPEN"


def test_what_is_only_counted_of_an_unwanted_hole_stays_unwanted(cut_hole):
    """It does not become missing volume when there are too many pieces to list it."""
    facts = Facts()
    facts.wanted_since(ISIN, at("09:59"))
    day = cut_hole(facts)
    assert (day.holes[0].cause, volumes(day)) == ("not_wanted", (20, 1010, 0, 990))


def test_ticks_without_volume_make_no_more_holes_than_others():
    """A tick that only moves the day's volume is bounded, too."""
    day = day_of()
    for number in range(1, MOST_HOLES // 2 + 11):
        day.add(tick(10 * number, 10 * number), at("10:00"))
        settle(day)
    assert len(day.stretches.missing) == len(day.holes) == MOST_HOLES // 2
    assert day.unlisted == 100


def test_without_rest_a_day_is_complete_when_it_is_over():
    """The check is by ticks, and a late tick opens the day again."""
    day = day_of(tick(0, 10))
    day.check_by_ticks(OVER)
    assert (day.state, day.checked) == ("COMPLETE", (OVER, 10, "ticks"))
    day.is_changed = False
    day.check_by_ticks(OVER + 1)
    assert (day.checked.at_ms, day.is_changed) == (OVER, False)
    day.add(tick(10, 20), OVER)
    assert day.state == "OPEN"
    day.check_by_ticks(OVER + 2)
    assert (day.state, day.checked.accumulated) == ("COMPLETE", 20)


def test_without_a_tick_nothing_is_proven_unless_rest_says_zero():
    """A bond without trades is complete only if KIS says so."""
    day = day_of()
    day.check_by_ticks(OVER)
    assert (day.state, day.reason) == ("UNPROVEN", "no_ticks")
    for seconds in (0, 60):
        day.read_total(Total(OVER + seconds * 1000, 0), OVER)
    assert (day.state, day.reason, day.checked.by) == ("COMPLETE", None, "rest")


def test_without_a_tick_and_with_volume_by_rest_all_is_missing():
    """The hole is the whole day, and the day stays unproven."""
    day = day_of()
    for seconds in (0, 60):
        day.read_total(Total(OVER + seconds * 1000, 70), OVER)
    assert day.reach_total(OVER + 61_000)
    assert settle(day, now=OVER + 70_000).state == "UNPROVEN"
    assert (day.reason, [(hole.low, hole.high) for hole in day.holes]) == ("no_ticks", [(0, 70)])


def test_a_late_first_tick_proves_again():
    """A day without ticks is proven by those that come late."""
    day = day_of()
    day.check_by_ticks(OVER)
    day.add(tick(0, 10), OVER)
    assert day.state == "OPEN"


def test_two_readings_that_agree_complete_the_day():
    """Covered volume equals the day's volume as REST gives it."""
    day = day_of(tick(0, 10))
    day.read_total(Total(OVER, 10), OVER)
    assert day.state == "OPEN"
    day.read_total(Total(OVER + 60_000, 10), OVER)
    assert (day.state, day.checked) == ("COMPLETE", (OVER + 60_000, 10, "rest"))


def test_what_rest_has_more_is_a_hole_at_the_end():
    """The earlier reading counts, once its ticks must have come."""
    day = day_of(tick(0, 10))
    day.read_total(Total(NOON, 50), OVER)
    day.read_total(Total(NOON + 20_000, 60), OVER)
    assert not day.reach_total(NOON + 29_999)
    assert day.reach_total(NOON + 30_000)
    assert not day.reach_total(NOON + 30_000)
    settle(day, now=NOON + 40_000)
    assert [(hole.low, hole.high, hole.before) for hole in day.holes] == [(10, 50, None)]
    assert volumes(day) == (10, 50, 40, 0)


def test_a_day_that_rest_ends_lower_was_taken_back():
    """A cancelled trade leaves ticks beyond the day's volume."""
    day = day_of(tick(0, 10))
    for seconds in (0, 60):
        day.read_total(Total(OVER + seconds * 1000, 8), OVER)
    assert (day.state, day.reason) == ("UNPROVEN", "taken_back")


def test_a_doubt_from_outside_leaves_the_day_unproven():
    """The tick topic lost ticks before they were read."""
    day = day_of(tick(0, 10))
    day.doubt = "deleted"
    day.check_by_ticks(OVER)
    assert (day.state, day.reason) == ("UNPROVEN", "deleted")


def test_trades_of_rest_that_lie_in_holes_are_returned(holed):
    """What cannot be filled is confirmed once nothing of it can."""
    trades = [RestTrade("100200", "1", 10, 30), RestTrade("100300", "1", 10, 40)]
    assert holed.read_trades(trades) == trades[:1]
    assert holed.holes[0].state == "OPEN"
    holed.add(tick(20, 30, source="rest", slot=None), NOON)
    assert holed.read_trades(trades) == []
    assert (holed.holes[0].state, holed.holes[0].cause, holed.state) == ("CONFIRMED", "unknown", "HOLES")
    assert holed.remaining(holed.holes[0]) == [(10, 20)]


def test_volume_without_a_trade_is_confirmed_as_such(holed):
    """KIS lists both neighbours side by side with the same jump."""
    assert holed.read_trades([RestTrade("100000", "1", 10, 10), RestTrade("100300", "1", 10, 40)]) == []
    assert (holed.holes[0].state, holed.holes[0].cause) == ("CONFIRMED", "no_trade")


def test_trades_read_before_the_hole_confirm_nothing(holed):
    """An empty or an older list says nothing about it."""
    for trades in ([], [RestTrade("100000", "1", 10, 10)]):
        assert holed.read_trades(trades) == []
        assert holed.holes[0].state == "OPEN"
