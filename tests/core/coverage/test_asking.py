"""Which bond is asked about, and when."""

from connector.core.coverage.asking import AFTER_CLOSE_MS, AFTER_FAILURE_MS, APART_MS, SILENT_MS, Asking, is_open
from tests.core.coverage.trades import at

A, B = "KR103502GA34", "KR103502GD31"
NOW = at("10:00")


def test_an_interruption_takes_two_readings_a_minute_apart():
    """After an interruption a bond is asked about at once, and again a minute later."""
    asking = Asking()
    asking.interrupted(A, NOW)
    assert asking.next(NOW) == A
    asking.answered(A, NOW, is_failed=False)
    assert asking.next(NOW + APART_MS - 1) is None
    assert asking.next(NOW + APART_MS) == A
    asking.answered(A, NOW + APART_MS, is_failed=False)
    assert asking.waiting == 0


def test_a_failed_call_is_repeated():
    """A failed call counts as none, and comes again ten seconds later."""
    asking = Asking()
    asking.interrupted(A, NOW)
    asking.answered(A, NOW, is_failed=True)
    assert asking.next(NOW + AFTER_FAILURE_MS - 1) is None
    asking.answered(A, NOW + AFTER_FAILURE_MS, is_failed=False)
    assert asking.waiting == 1


def test_silence_in_market_hours():
    """A bond without a tick for half an hour is asked about, once for each half hour."""
    asking = Asking()
    asking.look_at(A, NOW, NOW - SILENT_MS + 1, is_over=False)
    assert asking.next(NOW) is None
    asking.look_at(A, NOW, NOW - SILENT_MS, is_over=False)
    for now in (NOW, NOW + APART_MS):
        assert asking.next(now) == A
        asking.answered(A, now, is_failed=False)
    asking.look_at(A, NOW + APART_MS + SILENT_MS - 1, 0, is_over=False)
    assert asking.waiting == 0
    asking.look_at(A, at("08:59"), 0, is_over=False)
    assert asking.waiting == 0


def test_after_the_close_until_it_is_checked():
    """After the close a bond is asked about at once, and again every ten minutes."""
    asking, now = Asking(), at("15:35")
    asking.look_at(A, now, now, is_over=True)
    for _ in range(2):
        assert asking.next(now) == A
        asking.answered(A, now, is_failed=False)
        now += APART_MS
    asking.look_at(A, now, now, is_over=True)
    assert asking.waiting == 0
    asking.look_at(A, now + AFTER_CLOSE_MS, now, is_over=True)
    assert asking.waiting == 1


def test_the_longest_due_comes_first():
    """Of several due readings the oldest comes first, and forgotten bonds never."""
    asking = Asking()
    asking.interrupted(A, NOW)
    asking.interrupted(B, NOW - 1)
    assert asking.next(NOW) == B
    asking.keep([A])
    assert asking.next(NOW) == A
    asking.answered(B, NOW, is_failed=False)
    assert asking.waiting == 1


def test_market_hours():
    """The market trades from 09:00 to 15:30 in Seoul."""
    assert [is_open(at(time)) for time in ("08:59", "09:00", "15:29", "15:30")] == [False, True, True, False]
