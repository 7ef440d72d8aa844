"""Builds every part, runs them in one task group, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, Never

import structlog

from connector.app import report
from connector.app.clock import now, rfc3339
from connector.app.metrics import Figures, Sources
from connector.app.plan import Plan
from connector.app.slots import Slots
from connector.core.kis.approval import Granted
from connector.core.ticks.avro import TickSchema, registry_prefix
from connector.core.topic_plan import not_durable
from connector.errors import CredentialsRefused
from connector.logs import hide
from connector.packaged_files import bond_tick
from connector.shell import registry
from connector.shell.delivery import Delivery, Kafka
from connector.shell.http import HttpServer
from connector.shell.journal import Journal, Loss
from connector.shell.kafka import clients
from connector.shell.kafka.admin import TopicAdmin
from connector.shell.kafka.record_writer import RecordWriter
from connector.shell.kis import KisFeed
from connector.shell.kis.approval import ApprovalService
from connector.shell.kis.credentials import Credentials, require_credentials
from connector.shell.loop_lag import LoopLag
from connector.shell.secret_watch import SecretWatch, look_at
from connector.shell.topics.events import EventTopic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from aiokafka import AIOKafkaProducer

    from connector.core.kis.approval import Answer, AppKey
    from connector.core.slots.lease import Permission
    from connector.settings import Settings

log = structlog.get_logger("connector.app")

UNDELIVERED: Final = 6  # the exit code of a stop that left frames in the journal
SETTLE_SECONDS: Final = 2.0
RECENT_EVENTS: Final = 100
TOPICS_RETRY_SECONDS: Final = 300
# A thread that wants the interpreter gets it within this time from one that does not wait, so that a journal commit is not held up.
SWITCH_SECONDS: Final = 0.001


async def run(settings: Settings, on_ready: Callable[[int], None]) -> int:
    """Run until SIGTERM or SIGINT and return the exit code, 0 or 6; `on_ready` gets the HTTP port once it is bound.

    Raises ConfigurationError, JournalUnusable, and CredentialsRefused where KIS refused every app key at start.
    """
    async with opened(settings) as connector:
        on_ready(connector.port)
        await connector.run()
    if connector.refusal:
        raise connector.refusal
    return UNDELIVERED if connector.journal.pending else 0


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Connector]:
    """Give a connector, not running yet, over an open journal and with its endpoints bound; what is opened here outlives its tasks.

    Raises ConfigurationError and JournalUnusable.
    """
    require_credentials(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    journal = await Journal.open(settings.journal, lambda loss: connector.tell_loss(loss))  # noqa: PLW0108 - it is made below
    try:
        connector = Connector(settings, journal)
        http = HttpServer(settings.http, connector)
        await http.start()
        connector.port = http.port
        try:
            yield connector
        finally:
            await http.stop()
    finally:
        await journal.close()


class Connector:
    """Everything between KIS and Kafka, over an open journal."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self.settings = settings
        self.journal = journal
        self.port = 0
        self.started_at = now()
        self.stopping: str | None = None
        self._at_once = asyncio.Event()
        self.refusal: CredentialsRefused | None = None
        self.recent_events: list[dict[str, Any]] = []
        self._was_up = False  # a session has been open in this run
        self._credentials = Credentials(settings.kis)
        self._approval = ApprovalService(settings.kis.approval_url)
        self.delivery = Delivery(journal, TickSchema(bond_tick()), self._kafka(), self._framing)
        self.event_topic = EventTopic(self._writer(settings.topics.events), journal)
        self.slots = Slots(settings, self._credentials.count(), self._feed, self._client_arguments)
        self.plan = Plan(
            settings,
            journal,
            self.slots,
            client_arguments=self._client_arguments,
            new_writer=self._writer,
            on_desired=self.delivery.request,
            on_round=self._look_for_refusal,
        )
        self._secrets = SecretWatch(self._look_at_secrets)
        self._loop_lag = LoopLag()
        self._figures = Figures(self._sources())

    # -- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run every part until told to stop; every part waits out what is away, so that only a stop or a bug ends the group."""
        stop = self._stop_on_signals()
        try:
            async with asyncio.TaskGroup() as group:
                for name, task in {
                    "slots": self.slots.run(self.journal, self.plan.learnt, self.plan.slots_changed),
                    "delivery": self.delivery.run(),
                    "lists": self.plan.read(),
                    "plan": self.plan.run(),
                    "status": self.plan.status_topic.run(),
                    "events": self.event_topic.run(),
                    "kept-events": self.event_topic.keep(),
                    "secrets": self._secrets.run(),
                    "loop-lag": self._loop_lag.run(),
                    "topics": self._look_at_topics(),
                    "stop": self._stop_when(stop),
                }.items():
                    group.create_task(task, name=name)
        except* _Stopped:
            log.info("stopped", pending=self.journal.pending)

    def _stop_on_signals(self) -> asyncio.Event:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def told(name: str) -> None:
            if stop.is_set():
                self._at_once.set()
            self.stopping = name
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(
                NotImplementedError, ValueError, RuntimeError
            ):  # only the main thread's loop takes signals
                loop.add_signal_handler(number, told, number.name)
        self._stop_event = stop
        return stop

    def stop(self) -> None:
        """Stop as a SIGTERM does."""
        self.stopping = self.stopping or "told"
        self._stop_event.set()

    async def _stop_when(self, stop: asyncio.Event) -> Never:
        """Wait for the word, then leave in order; a second word ends that, too: what is undelivered is safe in the journal."""
        await stop.wait()
        log.info("stopping", reason=self.stopping, pending=self.journal.pending)
        self.plan.pause()
        ending = [
            asyncio.create_task(self._leave(), name="leave"),
            asyncio.create_task(self._at_once.wait(), name="at-once"),
        ]
        try:
            done, _ = await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ending:
                task.cancel()
        for task in done:
            task.result()  # a bug in leaving is told as one
        raise _Stopped

    async def _leave(self) -> None:
        """Leave KIS politely, hand the slots over, deliver what is journalled within the deadline, say goodbye on the topics."""
        await self.slots.stop()
        self.journal.report_losses()
        # The next owner's records are to be the later ones, so ours are waited for before the slots go over.
        await self.plan.say_goodbye(SETTLE_SECONDS if self.slots.is_shared else 0)
        await self.slots.hand_over()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.delivery.stop_deadline_seconds):
                await self.delivery.drained(self.journal.last_seq)
        await asyncio.gather(self.plan.status_topic.settle(SETTLE_SECONDS), self.event_topic.settle(SETTLE_SECONDS))

    def _look_for_refusal(self) -> None:
        """Stop where KIS refused every app key for good before any session came up (exit 3)."""
        if self.slots.is_shared or self.stopping or self._was_up:
            return
        refusals = [feed.refused for feed in self.slots.feeds.values()]
        if all(refusals):
            self.refusal = CredentialsRefused("\n".join(str(refusal) for refusal in refusals))
            self.stop()

    # -- what the parts are built with -----------------------------------------------------------------------------------

    def _feed(self, slot: int, permission: Permission | None, learnt: int | None) -> KisFeed:
        return KisFeed(
            slot,
            self.settings.kis,
            self._read_app_key,
            self.journal,
            lambda: self.plan.changed.set(),  # noqa: PLW0108 - it is made after the first feeds
            self._tell,
            request_approval_key=self._request_approval_key,
            permission=permission,
            learned_limit=learnt,
        )

    def _read_app_key(self, slot: int) -> AppKey:
        app_key = self._credentials.read(slot)
        hide(app_key.appkey, app_key.appsecret)
        return app_key

    def _look_at_secrets(self) -> dict[Path, str | None]:
        kafka, of_registry = self.settings.kafka, self.settings.registry
        of_kafka = (
            kafka.sasl_password_file,
            kafka.ssl_ca_file,
            kafka.ssl_certificate_file,
            kafka.ssl_key_file,
            kafka.ssl_key_password_file,
        )
        return self._credentials.check_files() | look_at((*of_kafka, of_registry.password_file, of_registry.ca_file))

    async def _request_approval_key(self, app_key: AppKey) -> Answer:
        answer = await self._approval.request(app_key)
        if isinstance(answer, Granted):
            hide(answer.approval_key)
        return answer

    def _client_arguments(self) -> dict[str, Any]:
        return clients.client_arguments(self.settings.kafka, self.settings.kafka_client_id)

    def _producer(self, first_broker: str | None = None) -> AIOKafkaProducer:
        return clients.make_producer(self.settings.kafka, self.settings.kafka_client_id, first_broker)

    def _leaders(self) -> Awaitable[dict[str, dict[int, str | None]]]:
        return clients.leaders(self.settings.kafka, self.settings.kafka_client_id)

    def _writer(self, topic: str, headers: Sequence[tuple[str, bytes]] = ()) -> RecordWriter:
        return RecordWriter(topic, self._producer, clients.abandon, headers)

    def _kafka(self) -> Kafka:
        topics = self.settings.topics
        return Kafka(topics.ticks, topics.dead_letters, self._leaders, self._producer, clients.start, clients.abandon)

    async def _framing(self) -> bytes:
        """Return what stands before each datum: the registry's id, or the single-object mark and fingerprint."""
        schema = TickSchema(bond_tick())
        if self.settings.registry.url is None:
            return schema.single_object_prefix
        subject = f"{self.settings.topics.ticks}-value"
        found = await registry.schema_id(
            self.settings.registry, subject, schema.text, self.journal.recall, self.journal.remember
        )
        return registry_prefix(found)

    async def _look_at_topics(self) -> None:
        """Warn of topics that may lose what Kafka acknowledged, once they could be looked at; nothing waits for it, or ends by it."""
        names = self.settings.topics.model_dump()
        while True:
            try:
                async with TopicAdmin.connect(self._client_arguments()) as admin:
                    found = not_durable(names, await admin.brokers(), await admin.find(list(names.values())))
            except Exception as error:  # noqa: BLE001 - a client's bug here is no reason to end the reader beside us
                log.info("topics_not_looked_at", cause=type(error).__name__, error=str(error))
                await asyncio.sleep(TOPICS_RETRY_SECONDS)
                continue
            for each in found:
                log.warning("topic_not_durable", topic=each.topic, problem=each.message)
            return

    def _sources(self) -> Sources:
        return Sources(
            journal=self.journal,
            journal_max_bytes=self.settings.journal.max_bytes,
            delivery=self.delivery,
            events=self.event_topic,
            feeds=self.slots.feeds.values(),
            slot_count=lambda: self.slots.app_keys,
            control=self.plan.control,
            control_reader=self.plan.control_reader,
            secrets=self._secrets,
            loop_lag=self._loop_lag,
            records=lambda: self.plan.records,
            cleartext=self.settings.kis.websocket_url.startswith("ws://"),
        )

    # -- what is told ------------------------------------------------------------------------------------------------------

    def _tell(self, event: dict[str, Any]) -> None:
        self._was_up = self._was_up or event["event"] == "session_up"
        self.recent_events = [*self.recent_events[1 - RECENT_EVENTS :], event]
        self.event_topic.publish(event)

    def tell_loss(self, loss: Loss) -> None:
        """Publish frames that were received but given up."""
        detail = {
            "frames": loss.frames,
            "bytes": loss.bytes,
            "from": rfc3339(loss.from_ns),
            "to": rfc3339(loss.to_ns),
            "reason": loss.reason,
        }
        self._tell({"event": "loss", "at": now(), "slot": loss.slot, "instrument": None, "detail": detail})

    def is_alive(self) -> bool:
        """Tell whether the event loop turns (it answered) and the journal's thread lives."""
        return self.journal.is_alive

    def readiness(self) -> tuple[list[str], list[str]]:
        """Return the reasons not to be ready, and what KIS holds up; Kafka going away later is neither."""
        return report.readiness(self)

    def metrics(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        return self._figures.text()

    def status(self) -> dict[str, Any]:
        """Return what there is to see: slots, lists, instruments, frames, ticks, recent events."""
        return report.status(self)


class _Stopped(Exception):
    """Ends the task group after an orderly stop."""
