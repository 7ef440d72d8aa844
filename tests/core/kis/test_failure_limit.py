"""Failures within an hour are bounded, and the slot goes on soon after KIS is well."""

from itertools import pairwise

import pytest

from connector.core.bonds.isin import with_check_digit
from connector.core.kis.failure_limit import FAILURES_AN_HOUR, FailureLimit
from connector.core.kis.pace import Pace
from connector.core.kis.reply import TR_ID, Reply
from connector.core.kis.session_registrations import SessionRegistrations

AT_ANY_PACE = FAILURES_AN_HOUR // 2
BONDS = [with_check_digit(f"KR10350{number:04d}") for number in range(300)]
GOOD = ("0", "OPSP0000")


def test_a_few_failures_hold_nothing_up():
    """Below half of the limit, the next request is permitted at once."""
    limit = FailureLimit()
    for second in range(AT_ANY_PACE - 1):
        limit.count(second)
        assert not limit.is_reached(second)
        assert limit.passed_at(second) == float("-inf")


def test_then_failures_come_with_pauses():
    """At half of the limit, the next request is permitted half a minute after the last failure."""
    limit = FailureLimit()
    for second in range(AT_ANY_PACE):
        limit.count(second)
    assert limit.is_reached(200.0)
    assert limit.passed_at(200.0) == AT_ANY_PACE - 1 + 30.0
    assert limit.is_reached(3599.9)
    assert not limit.is_reached(3600.0)
    assert limit.passed_at(3600.0) == float("-inf")


def asked(kis, wanted, until):
    """Return when requests failed, and how many bonds are active at the end.

    `kis(isin, now)` gives rt_cd and code, or None for no reply. `wanted` are lists by their times.
    """
    session, now, wanted = SessionRegistrations(Pace(0.2, 5.0, 41, 1.0, 60.0)), 0.0, dict(wanted)
    session.begin(now)
    failed = []
    while now < until:
        for at in [at for at in wanted if at <= now]:
            session.want(wanted.pop(at))
        session.advance(now)
        while (request := session.send_next(now)) is not None:
            _, isin = request
            if (answer := kis(isin, now)) != GOOD:
                failed.append(now)
            if answer is not None:
                session.receive(Reply(TR_ID, isin, *answer, "message"), now)
        deadlines = (session.next_deadline(now), *wanted, until)
        now = min(at for at in deadlines if at is not None and at > now)
    return failed, session.active_count


def bound(failed):
    """Check that no hour had more failures than are allowed, and those on their way."""
    most = FAILURES_AN_HOUR + 41
    assert all(later - first >= 3600.0 for first, later in zip(failed, failed[most:], strict=False))


@pytest.mark.parametrize("answer", [None, ("1", "OPSP9993"), ("9", "OPSP0009")], ids=["none", "other", "entitled"])
@pytest.mark.parametrize("seconds", [20, 75, 120])
def test_a_slot_goes_on_soon_after_kis_is_well(answer, seconds):
    """When requests have failed for a while, all bonds are registered once their waits are over."""
    failed, active = asked(lambda _, now: answer if now < seconds else GOOD, {0.0: BONDS[:41]}, seconds + 200.0)
    assert active == 41
    bound(failed)


@pytest.mark.parametrize("answer", [None, ("1", "OPSP9993"), ("1", "OPSP8992")], ids=["none", "other", "refused"])
def test_an_hour_has_room_for_so_many_failures(answer):
    """If KIS never takes a request, the failures of an hour are bounded, the last with pauses."""
    failed, _ = asked(lambda *_: answer, {0.0: BONDS[:41] if answer is None else BONDS}, 7300.0)
    bound(failed)
    assert all(later - earlier >= 29.9 for earlier, later in pairwise([at for at in failed if 600.0 < at < 3600.0]))


def test_wrong_bonds_do_not_hold_up_a_good_one():
    """A good bond that comes after hundreds of wrong ones is asked for within a minute."""
    good = BONDS[-1]
    lists = {0.0: BONDS[:260], 100.0: [good, *BONDS[:260]]}
    _, active = asked(lambda isin, _: GOOD if isin == good else ("1", "OPSP8992"), lists, 160.0)
    assert active == 1
