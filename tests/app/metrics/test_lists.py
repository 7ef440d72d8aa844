"""Lists and bonds are counted by their state."""

from types import SimpleNamespace

from connector.app.metrics.lists import INSTRUMENT_STATES, LIST_STATES
from tests.app.metrics.samples import READER, samples


def test_each_state_is_there_from_the_start():
    """A state that no list or bond has is 0, so that its first rise shows."""
    value = samples()
    for state in INSTRUMENT_STATES:
        assert value["kis_bond_instruments", (("state", state),)] >= 0
    for state in LIST_STATES:
        assert value["kis_bond_control_lists", (("state", state),)] >= 0


def test_foreign_records_keep_no_metric_from_being_read():
    """A foreign status record without a state or with an odd one is counted."""
    records = {"instrument/KR103502GD31": {}, "instrument/KR103502GA34": {"state": []}, "list/desk": {"state": None}}
    control = SimpleNamespace(ignored=1, is_read=True)
    value = samples(plan=SimpleNamespace(clocks_ahead={}, control=control, control_reader=READER, records=records))
    assert value["kis_bond_instruments", (("state", "ACTIVE"),)] == 0
    assert value["kis_bond_instruments", (("state", "None"),)] == 1
