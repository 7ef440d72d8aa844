from dataclasses import replace

from tests.core.kis.kis_model import PACE


def test_backoff_doubles_up_to_its_maximum():
    """The wait after failures doubles from the minimum up to the maximum."""
    pace = replace(PACE, retry_min=1.0, retry_max=60.0)
    assert [pace.backoff(failures) for failures in (0, 1, 2, 5, 6, 10_000)] == [1, 2, 4, 32, 60, 60]


def test_errors_that_last_are_retried_seldom():
    """The wait after errors doubles up to half an hour, or to the setting if that is longer."""
    pace = replace(PACE, retry_min=1.0, retry_max=60.0)
    assert [pace.backoff_of_error(failures) for failures in (0, 1, 6, 10, 11, 10_000)] == [1, 2, 64, 1024, 1800, 1800]
    assert replace(pace, retry_max=3600.0).backoff_of_error(20) == 3600


def test_a_reply_is_lost_after_three_timeouts():
    """A reply counts as lost once it is missing for three reply timeouts."""
    assert replace(PACE, reply_timeout=5.0).lost_after == 15.0
