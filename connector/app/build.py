"""Makes every part of a connector once, each from the parts made before it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from connector.app.clock import market_is_open, now
from connector.app.connector import Connector
from connector.app.event_log import EventLog
from connector.app.killed_sessions import KilledSessions
from connector.app.partition_watch import PartitionWatch
from connector.app.plan import Plan
from connector.app.report import Report, Starting
from connector.app.secrets import Secrets
from connector.app.slots import Slots
from connector.app.stop import Stop
from connector.app.topic_check import TopicCheck
from connector.app.undelivered import Undelivered
from connector.app.wanted_events import WantedEvents
from connector.app.watched_coverage import WatchedCoverage
from connector.core.ticks.avro import TickSchema, registry_prefix
from connector.packaged_files import bond_tick
from connector.shell import registry
from connector.shell.delivery import Delivery, Kafka, LatestTopic
from connector.shell.delivery.latest_topic import orders_in
from connector.shell.descriptors import raise_limit
from connector.shell.http import HttpServer
from connector.shell.journal import Journal, Unopened
from connector.shell.kafka import clients
from connector.shell.kafka.arguments import client_arguments
from connector.shell.kafka.closing import abandon
from connector.shell.kafka.record_writer import RecordWriter
from connector.shell.kis import KisFeed
from connector.shell.kis.credentials import require_credentials
from connector.shell.loop_lag import LoopLag
from connector.shell.secret_watch import SecretWatch
from connector.shell.topics.events import EventTopic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from connector.core.slots.lease import Lease
    from connector.settings import Settings

log = structlog.get_logger("connector.app")

UNDELIVERED: Final = 6  # the exit code of a stop that left frames in the journal
# A thread waits at most about this long for its turn: a longer wait would delay journal commits.
SWITCH_SECONDS: Final = 0.001


@dataclass(frozen=True)
class Parts:
    """What a connector consists of."""

    settings: Settings
    stop: Stop
    event_topic: EventTopic
    events: EventLog
    journal: Journal
    delivery: Delivery
    slots: Slots
    plan: Plan
    wanted_events: WantedEvents
    undelivered: Undelivered
    secret_watch: SecretWatch
    loop_lag: LoopLag
    topic_check: TopicCheck
    watched_coverage: WatchedCoverage
    partition_watch: PartitionWatch


async def run(settings: Settings, on_ready: Callable[[int], None]) -> int:
    """Run until SIGTERM or SIGINT, and return the exit code: 0, or 6 if frames are undelivered.

    `on_ready` gets the HTTP port. Raises ConfigurationError and JournalUnusable. Raises
    CredentialsRefused if KIS refused every app key.
    """
    raise_limit()
    stop = Stop()
    with stop.on_signals():
        try:
            async with opened(settings, stop) as connector:
                on_ready(connector.port)
                await connector.run()
        except Unopened as unopened:  # nothing was received, but who knows what was left
            log.info("stopped", journal="not opened")
            return 0 if unopened.held_by else UNDELIVERED
        if connector.refusal:
            raise connector.refusal
        return UNDELIVERED if connector.journal.pending or not connector.journal.is_saved else 0


@contextlib.asynccontextmanager
async def opened(settings: Settings, stop: Stop | None = None) -> AsyncIterator[Connector]:
    """Yield a connector that does not run yet; its HTTP port is bound and its journal is open.

    Raises ConfigurationError and JournalUnusable, and Unopened if a stop comes before that.
    """
    require_credentials(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    kafka = _KafkaClients(settings)
    events = EventLog(EventTopic(kafka.writer(settings.topics.events)), settings.replicas.name)
    observed = Starting()
    http = HttpServer(settings.http, observed)
    await http.start()
    stop = stop or Stop()
    try:
        journal = await Journal.open(settings.journal, events.record_loss, stop.is_asked)
        try:
            parts = _make_parts(settings, stop, kafka, events, journal)
            observed.report = report = Report(parts)
            yield Connector(parts, report, http.port)
        finally:
            await journal.close()
    finally:
        await http.stop()


def _make_parts(settings: Settings, stop: Stop, kafka: _KafkaClients, events: EventLog, journal: Journal) -> Parts:
    schema, secrets, topics = TickSchema(bond_tick()), Secrets(settings), settings.topics
    latest = None if topics.latest is None else kafka.latest(topics.latest)
    leaders = partial(kafka.leaders, [name for name in (topics.ticks, topics.dead_letters, topics.latest) if name])
    reach = Kafka(topics.ticks, topics.dead_letters, leaders, kafka.producer, clients.start, abandon, latest)
    delivery = Delivery(journal, schema, reach, partial(_framing, settings, schema, journal))
    journal.watch_lanes(delivery.watermarks)
    changed = asyncio.Event()
    wanted_events, undelivered = WantedEvents(events.topic), Undelivered(journal, delivery.drained, changed)

    def new_feed(slot: int, permission: Lease, learned_limit: int | None) -> KisFeed:
        return KisFeed(
            slot,
            settings.kis,
            secrets.read_app_key,
            journal,
            changed.set,
            events.record_session,
            request_approval_key=secrets.request_approval_key,
            permission=permission,
            learned_limit=learned_limit,
            taken_over=settings.replicas.coordination == "group",
            last_tick_ns=delivery.last_tick_ns,
            is_market_open=market_is_open,
        )

    slots = Slots(settings, secrets.count_app_keys(), new_feed, kafka.arguments, secrets.hash_app_keys)
    plan = Plan(
        settings,
        journal,
        slots,
        changed,
        client_arguments=kafka.arguments,
        new_writer=kafka.writer,
        on_desired=delivery.request,
        on_round=partial(_stop_if_refused, settings, stop, events, slots),
        before_use=KilledSessions(
            settings.replicas.name, now(), events.record, told_ends=lambda: events.topic.told_ends
        ).look,
        on_restart=events.record_restart,
        wanted_events=wanted_events,
        undelivered=undelivered,
    )
    return Parts(
        settings=settings,
        stop=stop,
        event_topic=events.topic,
        events=events,
        journal=journal,
        delivery=delivery,
        slots=slots,
        plan=plan,
        wanted_events=wanted_events,
        undelivered=undelivered,
        secret_watch=SecretWatch(secrets.find_problems),
        loop_lag=LoopLag(),
        topic_check=TopicCheck(topics.names(), kafka.arguments),
        watched_coverage=WatchedCoverage(topics.coverage, kafka.arguments),
        partition_watch=PartitionWatch(
            topics.ticks,
            delivery,
            journal,
            partial(kafka.leaders, [topics.ticks]),
            events.record_partitions,
            adopts=topics.adopt_partitions,
        ),
    )


class _KafkaClients:
    """Makes Kafka clients as the settings say."""

    def __init__(self, settings: Settings) -> None:
        kafka, client_id = settings.kafka, settings.kafka_client_id
        self.arguments = partial(client_arguments, kafka, client_id)
        self.producer = partial(clients.make_producer, kafka, client_id)
        self.leaders = partial(clients.leaders, kafka, client_id)

    def writer(self, topic: str, headers: Sequence[tuple[str, bytes]] = ()) -> RecordWriter:
        """Return a writer of this topic."""
        return RecordWriter(topic, self.producer, headers)

    def latest(self, topic: str) -> LatestTopic:
        """Return the topic of latest values."""
        return LatestTopic(topic, lambda: orders_in(topic, self.arguments()))


async def _framing(settings: Settings, schema: TickSchema, journal: Journal) -> bytes:
    """Return the bytes before each datum: the mark and id of the registry, or Avro's own prefix."""
    if settings.registry.url is None:
        return schema.single_object_prefix
    subject = f"{settings.topics.ticks}-value"
    found = await registry.schema_id(settings.registry, subject, schema.text, journal.saved, journal.save)
    return registry_prefix(found)


def _stop_if_refused(settings: Settings, stop: Stop, events: EventLog, slots: Slots) -> None:
    """Stop with exit code 3 if KIS refused every app key for good before any session opened.

    In a group, another replica may have better app keys, so we wait.
    """
    is_alone = settings.replicas.coordination == "standalone"
    if is_alone and not stop.reason and not events.was_up and (refusal := slots.refusal):
        stop.refuse(refusal)
