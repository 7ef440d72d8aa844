"""Lists and bonds are counted by their state."""

from connector.app.metrics.lists import INSTRUMENT_STATES, LIST_STATES
from tests.app.metrics.samples import samples


def test_each_state_is_there_from_the_start():
    """A state that no list or bond has is 0, so that its first rise shows."""
    value = samples()
    for state in INSTRUMENT_STATES:
        assert value["kis_bond_instruments", (("state", state),)] >= 0
    for state in LIST_STATES:
        assert value["kis_bond_control_lists", (("state", state),)] >= 0
