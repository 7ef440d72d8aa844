"""Every metric of the contract is there, under its name, and frames and ticks are conserved."""

from collections import Counter
from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families

from connector.metrics import Figures
from connector.shell.delivery.counts import Counts

CONTRACT = {
    "kis_bond_frames_received_total": (),
    "kis_bond_frames_finished_total": (),
    "kis_bond_frames_lost_total": ("reason",),
    "kis_bond_frames_pending": (),
    "kis_bond_ticks_decoded_total": (),
    "kis_bond_ticks_acknowledged_total": (),
    "kis_bond_ticks_in_flight": (),
    "kis_bond_dead_letters_total": ("reason",),
    "kis_bond_ticks_unrequested_total": (),
    "kis_bond_journal_bytes": (),
    "kis_bond_journals_set_aside_total": (),
    "kis_bond_receive_to_ack_seconds_bucket": ("le",),
    "kis_bond_receive_to_ack_seconds_sum": (),
    "kis_bond_receive_to_ack_seconds_count": (),
    "kis_bond_session_up": ("slot",),
    "kis_bond_connects_total": ("cause", "slot"),
    "kis_bond_instruments": ("state",),
    "kis_bond_producer_rebuilds_total": (),
    "kis_bond_partitions_behind": (),
    "kis_bond_ticks_extended_total": (),
    "kis_bond_replies_unreadable_total": ("slot",),
    "kis_bond_replies_unsolicited_total": ("slot",),
    "kis_bond_feed_cleartext": (),
    "kis_bond_build_info": ("version",),
}


def figures():
    """Return the figures of a connector that has seen something of everything."""
    journal = SimpleNamespace(received=12, finished=7, pending=3, lost={"journal_full": 2}, used_bytes=4096, set_aside=1)
    counts = Counts(decoded=9, acknowledged=6, dead_letters=Counter(FIELD_NUMBER=2, FRAME_TR=4))
    counts.latencies.observe([10**9, 2 * 10**9], 2 * 10**9 + 1)
    feed = SimpleNamespace(slot=0, view=SimpleNamespace(state="CONNECTED"), connects=Counter(start=1, reset=2), unreadable=5, unsolicited=6)
    lanes = [SimpleNamespace(behind_from=at) for at in (None, 7, None)]
    records = {"instrument/KR103502GD31": {"state": "ACTIVE"}, "slot/0": {"state": "CONNECTED"}}
    return Figures(journal, SimpleNamespace(counts=counts, lanes=lanes), [feed], lambda: records, cleartext=True)


def samples():
    """Return each sample by name and labels."""
    families = text_string_to_metric_families(figures().text().decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def test_every_metric_of_the_contract_is_there_with_its_labels():
    """Names and labels are what dashboards and alerts are written against."""
    found = {name: tuple(name for name, _ in labels) for name, labels in samples()}
    assert {name: found.get(name) for name in CONTRACT} == CONTRACT


def test_frames_and_ticks_are_conserved():
    """Received = finished + pending + lost; decoded = acknowledged + dead-lettered records + in flight."""
    value = samples()
    assert value["kis_bond_frames_received_total", ()] == 12 == 7 + 3 + value["kis_bond_frames_lost_total", (("reason", "journal_full"),)]
    assert value["kis_bond_ticks_in_flight", ()] == 9 - 6 - 2


def test_each_state_of_an_instrument_is_counted():
    """States without instruments are 0 rather than absent."""
    value = samples()
    assert value["kis_bond_instruments", (("state", "ACTIVE"),)] == 1
    assert value["kis_bond_instruments", (("state", "REJECTED"),)] == 0


def test_latencies_are_cumulative():
    """A histogram's last bucket is its count."""
    value = samples()
    assert value["kis_bond_receive_to_ack_seconds_bucket", (("le", "0.002"),)] == 1
    assert value["kis_bond_receive_to_ack_seconds_bucket", (("le", "+Inf"),)] == value["kis_bond_receive_to_ack_seconds_count", ()] == 2
