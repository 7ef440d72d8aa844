"""Approval keys are reused for a while, and asked for rarely."""

from connector.core.kis.approval_keys import ApprovalKeys


def test_approval_key_is_reused_for_its_time():
    """An approval key is used up to its age limit and not beyond."""
    keys = ApprovalKeys(12 * 3600)
    assert keys.usable(0) is None
    keys.issued("a", 100)
    assert keys.usable(100 + 12 * 3600 - 1) == "a"
    assert keys.usable(100 + 12 * 3600) is None


def test_the_age_of_a_key_is_that_of_the_one_in_use():
    """The age is that of the key in use: None before the first key and after a discard."""
    keys = ApprovalKeys(3600)
    assert keys.age(50) is None
    keys.issued("a", 100)
    assert keys.age(130) == 30
    keys.discard()
    assert keys.age(131) is None


def test_a_call_without_an_answer_counts():
    """A key that KIS may have issued without our seeing it puts off the next call, too."""
    keys = ApprovalKeys(3600)
    keys.issued("a", 100)
    keys.may_be_issued(130)
    assert (keys.next_issue_at, keys.age(140), keys.usable(140)) == (190, 40, "a")


def test_two_keys_are_a_minute_apart():
    """After a key was discarded, the next one still has to wait its minute."""
    keys = ApprovalKeys(3600)
    assert keys.next_issue_at < 0
    keys.issued("a", 100)
    keys.discard()
    assert keys.usable(101) is None
    assert keys.next_issue_at == 160
