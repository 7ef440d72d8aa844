"""Labels, values from the start, histograms."""

from types import SimpleNamespace

from connector.app.metrics.delivery import DEAD_LETTER_REASONS
from tests.app.metrics.samples import samples


def test_what_may_be_counted_is_there_from_the_start():
    """Reasons, causes and states without a count are 0 rather than absent: an alert on an increase would miss the first."""
    value = samples()
    for reason in DEAD_LETTER_REASONS:
        assert value["kis_bond_dead_letters_total", (("reason", reason),)] == {"FIELD_NUMBER": 2, "FRAME_TR": 4}.get(
            reason, 0
        )
    assert value["kis_bond_frames_lost_total", (("reason", "disk"),)] == 0
    assert value["kis_bond_connects_total", (("cause", "reset"), ("slot", "0"))] == 2
    assert value["kis_bond_connects_total", (("cause", "silence"), ("slot", "0"))] == 0
    assert value["kis_bond_instruments", (("state", "ACTIVE"),)] == 1
    assert value["kis_bond_instruments", (("state", "REJECTED"),)] == 0
    assert value["kis_bond_control_lists", (("state", "REFUSED"),)] == 1
    assert value["kis_bond_registrations", (("slot", "0"), ("state", "ACTIVE"))] == 2
    assert value["kis_bond_registrations", (("slot", "0"), ("state", "PENDING"))] == 0


def test_latencies_are_cumulative():
    """A histogram's last bucket is its count."""
    value = samples()
    assert value["kis_bond_receive_to_ack_seconds_bucket", (("le", "0.002"),)] == 1
    assert (
        value["kis_bond_receive_to_ack_seconds_bucket", (("le", "+Inf"),)]
        == value["kis_bond_receive_to_ack_seconds_count", ()]
        == 2
    )
    assert value["kis_bond_event_to_receive_seconds_bucket", (("le", "2"),)] == 0
    assert (
        value["kis_bond_event_to_receive_seconds_bucket", (("le", "5"),)]
        == value["kis_bond_event_to_receive_seconds_count", ()]
        == 2
    )
    assert value["kis_bond_event_to_receive_seconds_sum", ()] == 6


def test_the_lag_is_absent_while_it_is_not_known():
    """A topic that cannot be read at present, or was not read yet, has no lag rather than the last one."""
    assert samples()["kis_bond_control_lag", ()] == 4
    assert ("kis_bond_control_lag", ()) not in samples(control_reader=SimpleNamespace(problem="is away", lag=4))
    assert ("kis_bond_control_lag", ()) not in samples(control_reader=SimpleNamespace(problem=None, lag=None))
