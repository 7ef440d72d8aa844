"""Renders the connector's figures for Prometheus; they are plain numbers kept by the parts and read at each scrape."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from connector import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from prometheus_client import Metric

    from connector.core.histogram import Latencies
    from connector.shell.delivery import Delivery
    from connector.shell.journal import Journal
    from connector.shell.kis_feed import KisFeed

STATES = ("PENDING", "ACTIVE", "WAITING_CAPACITY", "REJECTED", "DISCONNECTED")


class Figures(Collector):
    """The metrics `kis_bond_*` of one connector; `records` gives its latest status records by key."""

    def __init__(
        self,
        journal: Journal,
        delivery: Delivery,
        feeds: Collection[KisFeed],
        records: Callable[[], Mapping[str, Mapping[str, Any]]],
        *,
        cleartext: bool,
    ) -> None:
        self._journal = journal
        self._delivery = delivery
        self._feeds = feeds
        self._cleartext = cleartext
        self._records = records
        self._registry = CollectorRegistry()
        self._registry.register(self)
        for of_process in (ProcessCollector, PlatformCollector, GCCollector):
            of_process(registry=self._registry)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family as it stands."""
        yield from self._frames()
        yield from self._ticks()
        yield from self._sessions()
        yield GaugeMetricFamily("kis_bond_feed_cleartext", "1 where the feed's URL is plain ws://", value=int(self._cleartext))
        yield _labelled(GaugeMetricFamily, "kis_bond_build_info", "1; the version is a label", "version", {__version__: 1})

    def _frames(self) -> Iterator[Metric]:
        journal = self._journal
        yield CounterMetricFamily("kis_bond_frames_received", "Frames received over the life of the journal", value=journal.received)
        yield CounterMetricFamily("kis_bond_frames_finished", "Frames acknowledged by Kafka or dead-lettered", value=journal.finished)
        yield _labelled(CounterMetricFamily, "kis_bond_frames_lost", "Frames received but given up", "reason", journal.lost)
        yield GaugeMetricFamily("kis_bond_frames_pending", "Frames received and not finished", value=journal.pending)
        yield CounterMetricFamily("kis_bond_journals_set_aside", "Journal files given up as damaged or failing", value=journal.set_aside)
        yield GaugeMetricFamily("kis_bond_journal_bytes", "Bytes the journal uses of journal.max_bytes", value=journal.used_bytes)

    def _ticks(self) -> Iterator[Metric]:
        counts = self._delivery.counts
        yield CounterMetricFamily("kis_bond_ticks_decoded", "Records taken out of readable frames, good or bad", value=counts.decoded)
        yield CounterMetricFamily("kis_bond_ticks_acknowledged", "Ticks acknowledged by Kafka", value=counts.acknowledged)
        yield GaugeMetricFamily("kis_bond_ticks_in_flight", "Records decoded and not settled", value=counts.in_flight)
        yield _labelled(CounterMetricFamily, "kis_bond_dead_letters", "Dead letters acknowledged by Kafka", "reason", counts.dead_letters)
        yield CounterMetricFamily(
            "kis_bond_ticks_unrequested", "Ticks of bonds no list wants; published all the same", value=counts.unrequested
        )
        yield CounterMetricFamily(
            "kis_bond_ticks_extended", "Records wider than documented; KIS added columns, which are in `extra`", value=counts.extended
        )
        behind = sum(lane.behind_from is not None for lane in self._delivery.lanes)
        yield GaugeMetricFamily("kis_bond_partitions_behind", "Partitions that read the journal again on their own", value=behind)
        yield CounterMetricFamily("kis_bond_producer_rebuilds", "Producers abandoned and made anew", value=counts.rebuilds)
        yield _histogram("kis_bond_receive_to_ack_seconds", "From a frame's receipt to Kafka's acknowledgement of a tick", counts.latencies)

    def _sessions(self) -> Iterator[Metric]:
        up = {str(feed.slot): int(feed.view.state == "CONNECTED") for feed in self._feeds}
        yield _labelled(GaugeMetricFamily, "kis_bond_session_up", "1 while the slot's session is open", "slot", up)
        connects = CounterMetricFamily(
            "kis_bond_connects",
            "Connection attempts, by what led to them: start, or how the session or attempt before ended",
            labels=["slot", "cause"],
        )
        for feed in self._feeds:
            for cause, count in feed.connects.items():
                connects.add_metric([str(feed.slot), cause], count)
        yield connects
        for name, text, attribute in (
            ("kis_bond_replies_unreadable", "JSON of KIS that could not be read", "unreadable"),
            ("kis_bond_replies_unsolicited", "Replies of KIS nothing was waiting for", "unsolicited"),
        ):
            yield _labelled(CounterMetricFamily, name, text, "slot", {str(feed.slot): getattr(feed, attribute) for feed in self._feeds})
        found = Counter(str(record.get("state")) for key, record in self._records().items() if key.startswith("instrument/"))
        states = {state: found[state] for state in STATES}
        yield _labelled(GaugeMetricFamily, "kis_bond_instruments", "Desired bonds by state", "state", states)


def _labelled(
    family: type[CounterMetricFamily | GaugeMetricFamily], name: str, text: str, label: str, values: Mapping[str, float]
) -> Metric:
    metric = family(name, text, labels=[label])
    for value, number in values.items():
        metric.add_metric([value], number)
    return metric


def _histogram(name: str, text: str, latencies: Latencies) -> Metric:
    buckets = [(str(bound), float(count)) for bound, count in zip(latencies.bounds, latencies.counts, strict=True)]
    return HistogramMetricFamily(name, text, buckets=[*buckets, ("+Inf", latencies.total)], sum_value=latencies.sum_seconds)
