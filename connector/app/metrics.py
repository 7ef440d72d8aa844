"""The connector's figures for Prometheus: plain numbers kept by the parts and read at each scrape."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from connector import __version__, logs
from connector.core import record_keys
from connector.core.histogram import Latencies
from connector.core.kis.governor import Cause
from connector.core.kis.registration import State as RegistrationState
from connector.core.kis.session import SlotState
from connector.core.ticks.dead_letter import DeadLetterReason
from connector.shell.journal import LossReason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from prometheus_client import Metric

    from connector.shell.delivery import Delivery
    from connector.shell.journal import Journal
    from connector.shell.kafka.compacted_topic import CompactedTopic
    from connector.shell.kis import KisFeed
    from connector.shell.loop_lag import LoopLag
    from connector.shell.secret_watch import SecretWatch
    from connector.shell.topics.control import ControlTopic
    from connector.shell.topics.events import EventTopic

INSTRUMENT_STATES: Final = ("PENDING", "ACTIVE", "WAITING_CAPACITY", "REJECTED", "DISCONNECTED")
LIST_STATES: Final = ("ACCEPTED", "REFUSED")
LOSS_REASONS: Final = get_args(LossReason)
LEFT_OUT: Final = ("dropped", "repeated")
DEAD_LETTER_REASONS: Final = get_args(DeadLetterReason)
# KIS gives a trade's time in whole seconds, so an age of 0 is one of less than a second.
AGE_BOUNDS: Final = (0, 1, 2, 5, 10, 30, 60, 300, 1800, 3600)

Values = float | Latencies | Mapping[Any, float] | None


@dataclass(frozen=True)
class Sources:
    """Where the figures are read; `records` gives the status records by key as published last."""

    journal: Journal
    journal_max_bytes: int
    delivery: Delivery
    events: EventTopic
    feeds: Collection[KisFeed]
    slot_count: Callable[[], int]
    control: ControlTopic
    control_reader: CompactedTopic
    secrets: SecretWatch
    loop_lag: LoopLag
    records: Callable[[], Mapping[str, Mapping[str, Any]]]
    cleartext: bool


@dataclass(frozen=True)
class Definition:
    """One metric; `read` gives its value, by label where there are labels, or None while there is nothing to tell.

    A value's key is the label's value, or a tuple of them. `known` values of the last label are there from the start, as 0: what appears
    with its first event has no increase in Prometheus.
    """

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    text: str
    read: Callable[[Sources], Values]
    labels: tuple[str, ...] = ()
    known: Sequence[str] = ()

    def family(self, sources: Sources) -> Metric | None:
        """Return the metric with its values as they stand."""
        found = self.read(sources)
        match found:
            case None:
                return None
            case Latencies():
                buckets = [(str(bound), float(count)) for bound, count in zip(found.bounds, found.counts, strict=True)]
                return HistogramMetricFamily(
                    self.name, self.text, [*buckets, ("+Inf", found.total)], sum_value=found.sum_seconds
                )
            case Mapping():
                values = dict(found) if len(self.labels) > 1 else dict.fromkeys(self.known, 0.0) | dict(found)
            case _:
                values = {(): found}
        family = (CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily)(
            self.name, self.text, labels=self.labels
        )
        for key, value in values.items():
            family.add_metric([str(part) for part in (key if isinstance(key, tuple) else (key,))], value)
        return family


def _by_slot(read: Callable[[KisFeed], float | None]) -> Callable[[Sources], Values]:
    return lambda sources: {feed.slot: value for feed in sources.feeds if (value := read(feed)) is not None}


def _by_slot_and(known: Sequence[str], read: Callable[[KisFeed], Mapping[str, float]]) -> Callable[[Sources], Values]:
    def values(sources: Sources) -> Values:
        return {
            (feed.slot, name): count
            for feed in sources.feeds
            for name, count in (dict.fromkeys(known, 0.0) | dict(read(feed))).items()
        }

    return values


def _states(kind: str) -> Callable[[Sources], Values]:
    return lambda sources: Counter(
        str(record["state"]) for key, record in sources.records().items() if key.startswith(kind)
    )


def _owned(sources: Sources) -> Values:
    owned = {feed.slot for feed in sources.feeds}
    return {slot: float(slot in owned) for slot in sorted(owned | set(range(sources.slot_count())))}


def _connects(feed: KisFeed) -> Mapping[str, float]:
    return feed.connects


def _registrations(feed: KisFeed) -> Mapping[str, float]:
    return Counter(each.state for each in feed.view.registrations.values())


_CAUSES: Final = ("start", *get_args(Cause))
_SLOT_STATES: Final = get_args(SlotState)
_REGISTRATION_STATES: Final = get_args(RegistrationState)

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
        "gauge", "kis_bond_ticks_in_flight", "Records decoded and not settled", lambda of: of.delivery.counts.in_flight
    ),
    Definition(
        "counter",
        "kis_bond_dead_letters",
        "Dead letters acknowledged by Kafka, in this run",
        lambda of: dict(of.delivery.counts.dead_letters),
        ("reason",),
        DEAD_LETTER_REASONS,
    ),
    Definition(
        "counter",
        "kis_bond_ticks_unrequested",
        "Ticks of bonds no list wants; published all the same. Frames of the run before that go out before the lists are read count too",
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
        "From a trade to its receipt, counted once for each tick. KIS tells the second of a trade only, so the value is rounded down "
        "to whole seconds; a trade from the future counts as 0",
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
        "Kafka producers abandoned and made anew",
        lambda of: of.delivery.counts.rebuilds,
    ),
    Definition(
        "gauge",
        "kis_bond_partitions_behind",
        "Partitions that read the journal again on their own: theirs has no leader, or had none",
        lambda of: sum(lane.behind_from is not None for lane in of.delivery.lanes),
    ),
    Definition(
        "counter",
        "kis_bond_events_dropped",
        "Events given up because over a thousand waited for Kafka, in this run; `loss` events go last",
        lambda of: of.events.dropped,
    ),
)

JOURNAL: Final = (
    Definition(
        "gauge",
        "kis_bond_journal_bytes",
        "Bytes the journal uses of `journal.max_bytes`, delivered frames included",
        lambda of: of.journal.used_bytes,
    ),
    Definition(
        "gauge", "kis_bond_journal_max_bytes", "The setting `journal.max_bytes`", lambda of: of.journal_max_bytes
    ),
    Definition(
        "gauge",
        "kis_bond_journal_frames",
        "Frames in the journal, delivered ones that are still kept included",
        lambda of: of.journal.kept,
    ),
    Definition(
        "gauge",
        "kis_bond_journal_writable",
        "0 while commits fail and frames are held in memory",
        lambda of: float(of.journal.write_error is None),
    ),
    Definition(
        "counter",
        "kis_bond_journals_set_aside",
        "Journal files given up as damaged or failing, in this run",
        lambda of: of.journal.set_aside,
    ),
)

SESSIONS: Final = (
    Definition(
        "gauge",
        "kis_bond_slot_owned",
        "1 for each slot this process runs, 0 for the others there are. Where app keys are not shared it runs all of them",
        _owned,
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_session_up",
        "1 while the slot's session is open",
        _by_slot(lambda feed: float(feed.session_up)),
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_slot_state",
        "1 for the state the slot is in, 0 for the others",
        _by_slot_and(_SLOT_STATES, lambda feed: {feed.view.state: 1.0}),
        ("slot", "state"),
        _SLOT_STATES,
    ),
    Definition(
        "gauge",
        "kis_bond_slot_capacity",
        "Registrations the slot may carry: `kis.session_capacity`, or what KIS taught; 0 while KIS refuses the app key for good",
        _by_slot(lambda feed: feed.capacity),
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_registrations",
        "Bonds the slot is to carry, by what KIS said to them",
        _by_slot_and(_REGISTRATION_STATES, _registrations),
        ("slot", "state"),
        _REGISTRATION_STATES,
    ),
    Definition(
        "counter",
        "kis_bond_connects",
        "Connection attempts, by what led to them: `start`, or how the session or attempt before ended",
        _by_slot_and(_CAUSES, _connects),
        ("slot", "cause"),
        _CAUSES,
    ),
    Definition(
        "gauge",
        "kis_bond_connect_wait_seconds",
        "Time until the slot's next connection is permitted; 0 while one is open, or none is wanted",
        _by_slot(lambda feed: feed.connect_wait_seconds),
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_connect_failures",
        "Attempts and sessions in a row that brought neither data nor PINGPONG; the waits grow with them",
        _by_slot(lambda feed: feed.connect_failures),
        ("slot",),
    ),
    Definition(
        "gauge",
        "kis_bond_approval_key_age_seconds",
        "Time since KIS gave the slot's approval key; absent without one",
        _by_slot(lambda feed: feed.approval_key_age_seconds),
        ("slot",),
    ),
    Definition(
        "counter",
        "kis_bond_replies_unreadable",
        "JSON of KIS that could not be read",
        _by_slot(lambda feed: feed.unreadable),
        ("slot",),
    ),
    Definition(
        "counter",
        "kis_bond_replies_unsolicited",
        "Replies of KIS nothing was waiting for",
        _by_slot(lambda feed: feed.unsolicited),
        ("slot",),
    ),
)

CONTROL: Final = (
    Definition(
        "gauge",
        "kis_bond_instruments",
        "Wanted bonds by state",
        _states(record_keys.INSTRUMENT),
        ("state",),
        INSTRUMENT_STATES,
    ),
    Definition(
        "gauge",
        "kis_bond_control_lists",
        "Control lists by the fate of their latest record; a refused record leaves the content before it in force",
        _states(record_keys.LIST),
        ("state",),
        LIST_STATES,
    ),
    Definition(
        "counter",
        "kis_bond_control_records_ignored",
        "Control records whose key names no list, in this run",
        lambda of: of.control.ignored,
    ),
    Definition(
        "gauge",
        "kis_bond_control_restored",
        "1 once the control topic was read to its end in this run",
        lambda of: float(of.control.is_read),
    ),
    Definition(
        "gauge",
        "kis_bond_control_lag",
        "Offsets of the control topic still to be read; absent while the topic cannot be read",
        lambda of: None if of.control_reader.problem else of.control_reader.lag,
    ),
)

PROCESS: Final = (
    Definition(
        "gauge",
        "kis_bond_secret_unreadable",
        "1 while a file with a secret, or a certificate, cannot be used as it is; what it held before is used",
        lambda of: {path: float(problem is not None) for path, problem in of.secrets.problems.items()},
        ("file",),
    ),
    Definition(
        "gauge",
        "kis_bond_credential_age_seconds",
        "Time since a file with a secret, or a certificate, was last written",
        lambda of: {path: max(0.0, time.time() - changed_at) for path, changed_at in of.secrets.changed_at.items()},
        ("file",),
    ),
    Definition(
        "histogram",
        "kis_bond_loop_lag_seconds",
        "By how much a pause of the event loop lasted too long; measured four times a second",
        lambda of: of.loop_lag.latencies,
    ),
    Definition(
        "counter",
        "kis_bond_log_lines_left_out",
        "Log lines not written: `dropped` because stdout was blocked, `repeated` because the same was said within a minute",
        lambda _: dict(logs.lines_left_out()),
        ("why",),
        LEFT_OUT,
    ),
    Definition(
        "gauge", "kis_bond_feed_cleartext", "1 where the feed's URL is plain `ws://`", lambda of: float(of.cleartext)
    ),
    Definition("gauge", "kis_bond_build_info", "1; the version is a label", lambda _: {__version__: 1.0}, ("version",)),
)

CATALOGUE: Final = {
    "Frames and ticks": TICKS,
    "Delivery": DELIVERY,
    "Journal": JOURNAL,
    "Slots and sessions": SESSIONS,
    "Control topic": CONTROL,
    "Process": PROCESS,
}


class Figures(Collector):
    """The metrics `kis_bond_*` of one connector."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._registry = CollectorRegistry()
        self._registry.register(self)
        for of_process in (ProcessCollector, PlatformCollector, GCCollector):
            of_process(registry=self._registry)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family as it stands."""
        for definitions in CATALOGUE.values():
            for definition in definitions:
                if (family := definition.family(self._sources)) is not None:
                    yield family
