import pytest

from connector.core.kis.damping import Damping

A, B = "KR103502GA34", "KR103502GD31"
RESTS = [(0, 0), (1, 0), (2, 10), (3, 20), (4, 40), (7, 320), (8, 600), (3000, 600)]


@pytest.mark.parametrize(("releases", "rest"), RESTS)
def test_rests_double_up_to_ten_minutes(releases, rest):
    """Two releases are free, the third needs ten seconds of rest, each later one twice as much."""
    damping = Damping()
    for _ in range(releases):
        damping.count_release(A, 100.0, 100.0)
    assert damping.rest(A, 100.0) == rest


def test_bonds_are_counted_one_by_one():
    """The releases of one bond make no other bond rest."""
    damping = Damping()
    for _ in range(5):
        damping.count_release(A, 100.0, 130.0)
    assert (damping.rest(B, 100.0), damping.quiet_until(B)) == (0.0, float("-inf"))
    assert damping.quiet_until(A) == 130.0


@pytest.mark.parametrize(("after", "rest"), [(3599.9, 10.0), (3600.0, 0.0)])
def test_a_bond_left_alone_is_forgiven(after, rest):
    """A bond starts afresh an hour after it was last unwanted."""
    damping = Damping()
    for _ in range(2):
        damping.count_release(A, 0.0, 0.0)
    damping.note_unwanted(A, 400.0)
    assert damping.rest(A, 400.0 + after) == rest


def test_what_is_forgiven_is_forgotten():
    """A bond left alone is forgotten, so that years of lists do not fill the memory."""
    damping = Damping()
    for second in range(9000):
        damping.count_release(f"bond {second}", float(second), 0.0)
    assert len(damping._flapping) <= 3601
