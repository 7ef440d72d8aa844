"""Every metric of the contract is there, under its name, and frames and ticks are conserved."""

import re
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families

from connector.app.metrics import CATALOGUE, DEAD_LETTER_REASONS, Figures, Sources
from connector.core.histogram import Latencies
from connector.shell.delivery.counts import Counts

ROOT = Path(__file__).parents[2]
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
    "kis_bond_events_dropped_total": (),
    "kis_bond_ticks_extended_total": (),
    "kis_bond_records_not_utf8_total": (),
    "kis_bond_replies_unreadable_total": ("slot",),
    "kis_bond_replies_unsolicited_total": ("slot",),
    "kis_bond_feed_cleartext": (),
    "kis_bond_build_info": ("version",),
    "kis_bond_event_to_receive_seconds_bucket": ("le",),
    "kis_bond_journal_max_bytes": (),
    "kis_bond_journal_frames": (),
    "kis_bond_journal_writable": (),
    "kis_bond_slot_owned": ("slot",),
    "kis_bond_slot_state": ("slot", "state"),
    "kis_bond_slot_capacity": ("slot",),
    "kis_bond_registrations": ("slot", "state"),
    "kis_bond_connect_wait_seconds": ("slot",),
    "kis_bond_connect_failures": ("slot",),
    "kis_bond_approval_key_age_seconds": ("slot",),
    "kis_bond_control_lists": ("state",),
    "kis_bond_control_records_ignored_total": (),
    "kis_bond_control_restored": (),
    "kis_bond_control_lag": (),
    "kis_bond_secret_unreadable": ("file",),
    "kis_bond_credential_age_seconds": ("file",),
    "kis_bond_loop_lag_seconds_bucket": ("le",),
    "kis_bond_log_lines_left_out_total": ("why",),
}


def figures(**changes):
    """Return the figures of a connector that has seen something of everything."""
    journal = SimpleNamespace(
        received=12,
        finished=7,
        pending=3,
        lost={"journal_full": 2},
        used_bytes=4096,
        set_aside=1,
        kept=10,
        write_error=None,
    )
    counts = Counts(decoded=9, acknowledged=6, dead_letters=Counter(FIELD_NUMBER=2, FRAME_TR=4))
    counts.latencies.observe([10**9, 2 * 10**9], 2 * 10**9 + 1)
    counts.event_ages[3] += 2
    feed = SimpleNamespace(
        slot=0,
        view=SimpleNamespace(
            state="CONNECTED",
            registrations={isin: SimpleNamespace(state="ACTIVE") for isin in ("KR103502GD31", "KR103502GA34")},
        ),
        session_up=True,
        capacity=41,
        connects=Counter(start=1, reset=2),
        connect_wait_seconds=0.0,
        connect_failures=2,
        approval_key_age_seconds=7.5,
        unreadable=5,
        unsolicited=6,
    )
    sources = {
        "journal": journal,
        "journal_max_bytes": 8192,
        "delivery": SimpleNamespace(counts=counts, lanes=[SimpleNamespace(behind_from=at) for at in (None, 7, None)]),
        "events": SimpleNamespace(dropped=8),
        "feeds": [feed],
        "slot_count": lambda: 3,
        "control": SimpleNamespace(ignored=1, is_read=True),
        "control_reader": SimpleNamespace(problem=None, lag=4),
        "secrets": SimpleNamespace(
            problems={Path("appkey-0"): None, Path("appsecret-0"): "is gone"},
            changed_at={Path("appkey-0"): time.time() - 60},
        ),
        "loop_lag": SimpleNamespace(latencies=Latencies((0.01,))),
        "records": lambda: {
            "instrument/KR103502GD31": {"state": "ACTIVE"},
            "slot/0": {"state": "CONNECTED"},
            "list/desk": {"state": "REFUSED"},
            "list/other": {"state": "ACCEPTED"},
        },
        "cleartext": True,
    }
    return Figures(Sources(**sources | changes))


def samples(**changes):
    """Return each sample by name and labels."""
    families = text_string_to_metric_families(figures(**changes).text().decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


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


def test_frames_and_ticks_are_conserved():
    """Received = finished + pending + lost; decoded = acknowledged + dead-lettered records + in flight."""
    value = samples()
    assert (
        value["kis_bond_frames_received_total", ()]
        == 12
        == 7 + 3 + value["kis_bond_frames_lost_total", (("reason", "journal_full"),)]
    )
    assert value["kis_bond_ticks_in_flight", ()] == 9 - 6 - 2


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


def test_the_reasons_of_dead_letters_are_those_the_code_gives():
    """No reason is missing in the metric's labels, and none is there that never comes."""
    code = "".join(path.read_text() for part in ("core", "shell") for path in (ROOT / "connector" / part).rglob("*.py"))
    found = Counter(re.findall(r'"((?:FRAME|DECRYPT|FIELD|KAFKA)_[A-Z0-9_]*[A-Z0-9])"', code))
    assert set(found) == set(DEAD_LETTER_REASONS)
    assert min(found.values()) > 1, "a reason stands in its Literal alone"


def test_a_slot_is_in_one_state():
    """One of the states is 1."""
    value = samples()
    states = {
        state: value["kis_bond_slot_state", (("slot", "0"), ("state", state))]
        for state in ("CONNECTED", "CONNECTING", "BLOCKED", "IDLE")
    }
    assert states == {"CONNECTED": 1, "CONNECTING": 0, "BLOCKED": 0, "IDLE": 0}


def test_slots_others_run_are_not_owned():
    """Each slot there is shows whether this process runs it."""
    value = samples()
    assert [value["kis_bond_slot_owned", (("slot", str(slot)),)] for slot in range(3)] == [1, 0, 0]


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


def test_an_unreadable_secret_is_named():
    """The label is the file, the age that of its last writing."""
    value = samples()
    assert value["kis_bond_secret_unreadable", (("file", "appsecret-0"),)] == 1
    assert value["kis_bond_secret_unreadable", (("file", "appkey-0"),)] == 0
    assert 60 <= value["kis_bond_credential_age_seconds", (("file", "appkey-0"),)] < 90


def test_the_lag_is_absent_while_it_is_not_known():
    """A topic that cannot be read at present, or was not read yet, has no lag rather than the last one."""
    assert samples()["kis_bond_control_lag", ()] == 4
    assert ("kis_bond_control_lag", ()) not in samples(control_reader=SimpleNamespace(problem="is away", lag=4))
    assert ("kis_bond_control_lag", ()) not in samples(control_reader=SimpleNamespace(problem=None, lag=None))


def test_a_journal_that_cannot_be_written_shows():
    """0 stands for trouble, as in `up`."""
    assert samples()["kis_bond_journal_writable", ()] == 1
    broken = SimpleNamespace(
        received=0, finished=0, pending=0, lost={}, used_bytes=0, set_aside=0, kept=0, write_error="disk full"
    )
    assert samples(journal=broken)["kis_bond_journal_writable", ()] == 0


def test_a_standby_shows_what_it_has():
    """Without any slot of its own there are no slot figures, and all the others."""
    value = samples(feeds=[])
    assert [value["kis_bond_slot_owned", (("slot", str(slot)),)] for slot in range(3)] == [0, 0, 0]
    assert not [name for name, labels in value if name == "kis_bond_session_up"]
