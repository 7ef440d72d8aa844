"""Every metric of the contract is there, under its name."""

import re

from connector.app.metrics import CATALOGUE
from tests.app.metrics.samples import samples

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
    "kis_bond_journal_segments_retired_total": (),
    "kis_bond_receive_to_ack_seconds_bucket": ("le",),
    "kis_bond_receive_to_ack_seconds_sum": (),
    "kis_bond_receive_to_ack_seconds_count": (),
    "kis_bond_session_up": ("slot",),
    "kis_bond_connects_total": ("cause", "slot"),
    "kis_bond_instruments": ("state",),
    "kis_bond_producer_rebuilds_total": (),
    "kis_bond_partitions_behind": (),
    "kis_bond_events_dropped_total": (),
    "kis_bond_ticks_extended_total": (),
    "kis_bond_records_not_utf8_total": (),
    "kis_bond_requests_slowed": ("slot",),
    "kis_bond_replies_unreadable_total": ("slot",),
    "kis_bond_replies_unsolicited_total": ("slot",),
    "kis_bond_feed_cleartext": (),
    "kis_bond_build_info": ("version",),
    "kis_bond_event_to_receive_seconds_bucket": ("le",),
    "kis_bond_journal_max_bytes": (),
    "kis_bond_journal_frames": (),
    "kis_bond_journal_writable": (),
    "kis_bond_slot_owned": ("slot",),
    "kis_bond_replicas_differ": ("what",),
    "kis_bond_slot_state": ("slot", "state"),
    "kis_bond_slot_capacity": ("slot",),
    "kis_bond_registrations": ("slot", "state"),
    "kis_bond_connect_wait_seconds": ("slot",),
    "kis_bond_last_tick_timestamp_seconds": ("slot",),
    "kis_bond_market_open": (),
    "kis_bond_connect_failures": ("slot",),
    "kis_bond_approval_key_age_seconds": ("slot",),
    "kis_bond_control_lists": ("state",),
    "kis_bond_control_records_ignored_total": (),
    "kis_bond_batches_skipped_total": (),
    "kis_bond_control_restored": (),
    "kis_bond_control_lag": (),
    "kis_bond_secret_unreadable": ("file",),
    "kis_bond_credential_age_seconds": ("file",),
    "kis_bond_loop_lag_seconds_bucket": ("le",),
    "kis_bond_log_lines_left_out_total": ("why",),
}


def test_every_metric_of_the_contract_is_there_with_its_labels():
    """Names and labels are what dashboards and alerts are written against."""
    found = {name: tuple(name for name, _ in labels) for name, labels in samples()}
    assert {name: found.get(name) for name in CONTRACT} == CONTRACT
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in found if name.startswith("kis_bond_")}
    assert ours == {re.sub(r"_(bucket|sum|count)$", "", name) for name in CONTRACT}
    assert len(ours) == sum(len(definitions) for definitions in CATALOGUE.values())


def test_names_end_in_their_base_unit():
    """Times are seconds and sizes bytes; nothing else is measured in units."""
    for definition in (each for definitions in CATALOGUE.values() for each in definitions):
        assert definition.name.startswith("kis_bond_")
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kib|mib|percent|total)\b", definition.name)
        if definition.kind == "histogram":
            assert definition.name.endswith("_seconds")
