"""Metrics of the way from the socket to Kafka: frames and ticks, delivery, journal."""

from typing import Final, get_args

from connector.app.metrics.definition import Definition
from connector.core.ticks.dead_letter import DeadLetterReason
from connector.shell.journal import LossReason

LOSS_REASONS: Final = get_args(LossReason)
DEAD_LETTER_REASONS: Final = get_args(DeadLetterReason)
# KIS gives a trade's time in whole seconds, so the age 0 means less than a second.
AGE_BOUNDS: Final = (0, 1, 2, 5, 10, 30, 60, 300, 1800, 3600)

TICKS: Final = (
    Definition(
        "counter",
        "kis_bond_frames_received",
        "Frames received over the life of the journal",
        lambda of: of.journal.received,
    ),
    Definition(
        "counter",
        "kis_bond_frames_finished",
        "Frames acknowledged by Kafka or dead-lettered",
        lambda of: of.journal.finished,
    ),
    Definition(
        "counter",
        "kis_bond_frames_lost",
        "Frames received but given up",
        lambda of: dict(of.journal.lost),
        ("reason",),
        LOSS_REASONS,
    ),
    Definition("gauge", "kis_bond_frames_pending", "Frames received and not finished", lambda of: of.journal.pending),
    Definition(
        "counter",
        "kis_bond_ticks_decoded",
        "Records taken out of readable frames, good or bad, in this run",
        lambda of: of.delivery.counts.decoded,
    ),
    Definition(
        "counter",
        "kis_bond_ticks_acknowledged",
        "Ticks acknowledged by Kafka, in this run",
        lambda of: of.delivery.counts.acknowledged,
    ),
    Definition(
        "gauge",
        "kis_bond_ticks_in_flight",
        "Records decoded, neither acknowledged nor dead-lettered yet",
        lambda of: of.delivery.counts.in_flight,
    ),
    Definition(
        "counter",
        "kis_bond_dead_letters",
        "Dead letters that Kafka acknowledged or refused for good, in this run",
        lambda of: dict(of.delivery.counts.dead_letters),
        ("reason",),
        DEAD_LETTER_REASONS,
    ),
    Definition(
        "counter",
        "kis_bond_ticks_unrequested",
        "Ticks of bonds that no list wants; they are published all the same. "
        "Frames of an earlier run that are delivered before the lists are read count too",
        lambda of: of.delivery.counts.unrequested,
    ),
    Definition(
        "counter",
        "kis_bond_ticks_extended",
        "Records wider than documented: KIS added columns, which are in `extra`",
        lambda of: of.delivery.counts.extended,
    ),
    Definition(
        "counter",
        "kis_bond_records_not_utf8",
        "Records with bytes that are not UTF-8: a text that may be null is read as CP949 or left null, "
        "any other column makes a dead letter",
        lambda of: of.delivery.counts.not_utf8,
    ),
    Definition(
        "histogram",
        "kis_bond_event_to_receive_seconds",
        "From a trade to its receipt, counted once for each tick. KIS gives a trade's time in whole seconds, "
        "so the value is rounded down to whole seconds; a trade from the future counts as 0",
        lambda of: of.delivery.counts.event_ages.latencies(AGE_BOUNDS),
    ),
    Definition(
        "histogram",
        "kis_bond_receive_to_ack_seconds",
        "From a frame's receipt to Kafka's acknowledgement of a tick",
        lambda of: of.delivery.counts.latencies,
    ),
)

DELIVERY: Final = (
    Definition(
        "counter",
        "kis_bond_producer_rebuilds",
        "Kafka producers abandoned and replaced",
        lambda of: of.delivery.counts.rebuilds,
    ),
    Definition(
        "gauge",
        "kis_bond_partitions_behind",
        "Partitions that lag and read the journal on their own: they have no leader, or had none",
        lambda of: sum(lane.behind_from is not None for lane in of.delivery.lanes),
    ),
    Definition(
        "counter",
        "kis_bond_events_dropped",
        "Events given up because over a thousand waited for Kafka, or because one was too large for it, in this run; "
        "`loss` events are given up last",
        lambda of: of.event_topic.dropped,
    ),
)

JOURNAL: Final = (
    Definition(
        "gauge",
        "kis_bond_journal_bytes",
        "Bytes of `journal.max_bytes` that the journal uses, including delivered frames",
        lambda of: of.journal.used_bytes,
    ),
    Definition(
        "gauge",
        "kis_bond_journal_max_bytes",
        "The setting `journal.max_bytes`",
        lambda of: of.settings.journal.max_bytes,
    ),
    Definition(
        "gauge",
        "kis_bond_journal_frames",
        "Frames in the journal, including delivered ones not yet deleted",
        lambda of: of.journal.kept,
    ),
    Definition(
        "gauge",
        "kis_bond_journal_writable",
        "0 while the disk fails or hangs and frames are held in memory",
        lambda of: float(of.journal.write_error is None),
    ),
    Definition(
        "counter",
        "kis_bond_journal_segments_retired",
        "Segments that could not be synced and are written no more, in this run",
        lambda of: of.journal.segments_retired,
    ),
)
