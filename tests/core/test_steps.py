"""Computations in steps."""

from connector.core.steps import STEP_BONDS, finished, step_ends


def test_a_computation_in_steps_gives_its_result():
    """All steps are taken, and the result is returned."""
    taken = []

    def computation():
        for step in range(3):
            taken.append(step)
            yield
        return "result"

    assert finished(computation()) == "result"
    assert taken == [0, 1, 2]


def test_a_step_ends_after_a_bounded_number_of_bonds():
    """Large lists end a step each, small ones together; an empty list counts as well."""
    assert list(step_ends([STEP_BONDS, 1, STEP_BONDS, 1])) == [True, False, True, False]
    assert list(step_ends([0] * (STEP_BONDS + 1))).index(True) == STEP_BONDS - 1
