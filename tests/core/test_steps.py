"""Computations in steps."""

from connector.core.steps import finished


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
