import pytest

from connector.core.kis.failure_limit import FAILURES_AN_HOUR, FailureLimit


@pytest.mark.parametrize(("failures", "passed_at"), [(0, float("-inf")), (FAILURES_AN_HOUR - 1, float("-inf"))])
def test_a_few_failures_hold_nothing_up(failures, passed_at):
    """Below the limit, the next request is permitted at once."""
    limit = FailureLimit()
    for second in range(failures):
        limit.count(second)
    assert limit.passed_at == passed_at


def test_an_hour_has_room_for_so_many_failures():
    """At the limit, the next request is permitted an hour after the oldest failure that counts."""
    limit = FailureLimit()
    for second in range(FAILURES_AN_HOUR + 5):
        limit.count(second)
    assert limit.passed_at == 3605.0
