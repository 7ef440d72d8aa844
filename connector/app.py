"""The running connector: every part built, run in one task group, and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import uuid
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Never

import structlog

from connector import __version__
from connector.core import remembered, status, subscription
from connector.core.approval import Granted
from connector.core.avro import TickSchema, registry_prefix
from connector.core.handover import carried
from connector.core.lease import Lease
from connector.core.placement import placement
from connector.core.status import Situation
from connector.errors import CredentialsRefused
from connector.logs import hide
from connector.metrics import Figures
from connector.schema_files import bond_tick
from connector.shell import kafka_client, registry
from connector.shell.approval import ApprovalService
from connector.shell.compacted_topic import CompactedTopic
from connector.shell.control_topic import ControlTopic
from connector.shell.credentials import Credentials, require_credentials
from connector.shell.delivery import Delivery, Kafka
from connector.shell.event_topic import EventTopic
from connector.shell.http import HttpServer
from connector.shell.journal import Journal, Loss
from connector.shell.kis_feed import KisFeed
from connector.shell.record_writer import RecordWriter
from connector.shell.slot_group import SlotGroup
from connector.shell.status_topic import WRITER, StatusTopic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from aiokafka import AIOKafkaProducer

    from connector.core.approval import Answer, AppKey
    from connector.core.status import Record
    from connector.settings import Settings

log = structlog.get_logger("connector.app")

UNDELIVERED: Final = 6  # the exit code of a stop that left frames in the journal
SAVED_LISTS: Final = "lists"
SAVED_SLOTS: Final = "slots"
STATUS_PAUSE_SECONDS: Final = 0.05  # changes within this time are one round of status records
ALIVE_SECONDS: Final = 10.0  # how often status records are made without a change, for the slots' alive_at
SETTLE_SECONDS: Final = 2.0
RECENT_EVENTS: Final = 100
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
        self._settings = settings
        self.journal = journal
        self.port = 0
        self._started_at = _now()
        self._stopping: str | None = None
        self._at_once = asyncio.Event()
        self.refusal: CredentialsRefused | None = None
        self._changed = asyncio.Event()
        self._recent_events: list[dict[str, Any]] = []
        self._records: dict[str, Record] = {}
        self._saved: subscription.Lists | None = None
        self._placement: dict[str, int] = {}
        self._capacities: dict[int, int] = {}
        self._wishes: dict[int, list[str]] = {}
        self._situation: Situation | None = None
        self._desired: list[subscription.Desired] = []
        self._credentials = Credentials(settings.kis)
        self._approval = ApprovalService(settings.kis.approval_url)
        self._lease: Lease | None = None
        self._slot_group: SlotGroup | None = None
        self._lease_changed = asyncio.Event()
        self.feeds: dict[int, KisFeed] = {}
        self._ending: dict[int, asyncio.Task[None]] = {}
        if settings.replicas.coordination == "group":
            self._lease, self._slot_group = self._share_slots(settings)
        else:
            self.feeds = {slot: self._feed(slot) for slot in range(self._credentials.count())}
        self.delivery = Delivery(journal, TickSchema(bond_tick()), self._kafka(), self._framing)
        self._control = ControlTopic(self._previous_lists, self._on_lists)
        self._control_reader = CompactedTopic(settings.topics.control, self._client_arguments, self._control.snapshot, self._control.follow)
        name = uuid.uuid4().hex.encode()
        self._status_topic = StatusTopic(self._writer(settings.topics.status, [(WRITER, name)]), name)
        self._status_reader = CompactedTopic(settings.topics.status, self._client_arguments, self._on_known_status, self._on_others_status)
        self._event_topic = EventTopic(self._writer(settings.topics.events))
        self._figures = Figures(journal, self.delivery, self.feeds.values(), cleartext=settings.kis.websocket_url.startswith("ws://"))

    # -- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run every part until told to stop; every part waits out what is away, so that only a stop or a bug ends the group."""
        stop = self._stop_on_signals()
        try:
            async with asyncio.TaskGroup() as group:
                for feed in self.feeds.values():
                    group.create_task(feed.run(), name=f"feed-{feed.slot}")
                if self._lease is not None and self._slot_group is not None:
                    group.create_task(self._hold_slots(group, self._lease), name="slots")
                    group.create_task(self._slot_group.run(), name="slot-group")
                for name, task in {
                    "delivery": self.delivery.run(),
                    "lists": self._read_lists(),
                    "plan": self._plan(),
                    "status": self._status_topic.run(),
                    "events": self._event_topic.run(),
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
            self._stopping = name
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # only the main thread's loop takes signals
                loop.add_signal_handler(number, told, number.name)
        self._stop_event = stop
        return stop

    def stop(self) -> None:
        """Stop as a SIGTERM does."""
        self._stopping = self._stopping or "told"
        self._stop_event.set()

    async def _stop_when(self, stop: asyncio.Event) -> Never:
        """Wait for the word, then leave in order; a second word ends that, too: what is undelivered is safe in the journal."""
        await stop.wait()
        log.info("stopping", reason=self._stopping, pending=self.journal.pending)
        ending = [asyncio.create_task(self._leave(), name="leave"), asyncio.create_task(self._at_once.wait(), name="at-once")]
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
        await asyncio.gather(*(feed.stop() for feed in self.feeds.values()), *self._ending.values())
        if self._records:
            self._status_topic.publish(status.stopped(self._records, _now()), self._is_ours)
        if self._slot_group is not None:
            # The next owner's records are to be the later ones.
            await self._status_topic.settle(SETTLE_SECONDS)
            await self._slot_group.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.delivery.stop_deadline_seconds):
                await self.delivery.drained(self.journal.last_seq)
        await asyncio.gather(self._status_topic.settle(SETTLE_SECONDS), self._event_topic.settle(SETTLE_SECONDS))

    # -- the slots' way ------------------------------------------------------------------------------------------------

    def _share_slots(self, settings: Settings) -> tuple[Lease, SlotGroup]:
        """Make the membership in the group, and the lease it gives."""
        replicas = settings.replicas
        lease = Lease(replicas.session_timeout_seconds, replicas.blind_limit_seconds, monotonic())

        def claim() -> tuple[frozenset[int], frozenset[int]]:
            return lease.held(monotonic()), frozenset(slot for slot, feed in self.feeds.items() if feed.session_up)

        def assigned(slots: frozenset[int]) -> None:
            lease.assigned(slots, monotonic())
            self._lease_changed.set()

        def heard() -> None:
            was_blind = not lease.in_contact(monotonic())
            lease.heard(monotonic())
            if was_blind:
                self._lease_changed.set()

        group = SlotGroup(
            settings.topics.slots,
            replicas.group_id,
            replicas.session_timeout_seconds,
            self._client_arguments,
            claim=claim,
            on_assigned=assigned,
            on_heard=heard,
        )
        return lease, group

    async def _hold_slots(self, group: asyncio.TaskGroup, lease: Lease) -> None:
        """Run a feed for each slot this replica holds, and for no other."""
        lease.remembered(_slots_from(await self.journal.recall(SAVED_SLOTS)), monotonic())
        while not self._stopping:
            held = {slot for slot in lease.held(monotonic()) if slot < self._credentials.count()}
            for slot in self.feeds.keys() - held:
                self._ending[slot] = group.create_task(self._let_go(slot, self.feeds.pop(slot)), name=f"end-feed-{slot}")
            for slot in sorted(held - self.feeds.keys()):
                self.feeds[slot] = feed = self._feed(slot, status.capacity(self._records, slot))
                self._wishes.pop(slot, None)
                group.create_task(self._run_feed(feed, self._ending.pop(slot, None)), name=f"feed-{slot}")
            for feed in self.feeds.values():
                feed.permission_changed()
            self._place()
            self._changed.set()
            if lease.is_member:
                await self.journal.remember(SAVED_SLOTS, json.dumps(sorted(held)))
            surrenders_at = lease.surrenders_at(monotonic())
            await _within(self._lease_changed, None if surrenders_at is None else surrenders_at - monotonic())
            self._lease_changed.clear()

    async def _let_go(self, slot: int, feed: KisFeed) -> None:
        """Close a lost slot's session at once; what it brought is still delivered."""
        log.warning("slot_lost", slot=slot)
        await feed.stop("lease", release_seconds=0)

    @staticmethod
    async def _run_feed(feed: KisFeed, ending: asyncio.Task[None] | None) -> None:
        if ending is not None:
            await ending
        log.info("slot_taken", slot=feed.slot)
        await feed.run()

    @property
    def _slot_count(self) -> int:
        """The number of slots there are: of app keys, as far as the slot topic has partitions for them."""
        shared = self._slot_group.slots if self._slot_group is not None else None
        return self._credentials.count() if shared is None else min(shared, self._credentials.count())

    # -- the lists' way ------------------------------------------------------------------------------------------------

    async def _read_lists(self) -> None:
        """Read the status topic (what was in force), then the control topic; while neither can be had, use the saved lists."""
        self._saved = remembered.from_text(await self.journal.recall(SAVED_LISTS))
        async with asyncio.TaskGroup() as group:
            known = group.create_task(self._status_reader.run(), name="status-reader")
            await self._use_saved_unless_read(self._status_reader)
            await self._status_reader.restored.wait()
            if self._lease is None:
                known.cancel()
            group.create_task(self._control_reader.run(), name="control-reader")
            await self._use_saved_unless_read(self._control_reader)

    async def _use_saved_unless_read(self, reader: CompactedTopic) -> None:
        """Put the lists kept from before in use where a topic cannot be read in time, be it out of reach or of a wrong shape."""
        if self._saved is not None and not await _within(reader.restored, SETTLE_SECONDS):
            log.warning("saved_lists_used", lists=len(self._saved.entries), reason=reader.problem)
            self._control.use_saved(self._previous_lists())

    def _on_known_status(self, records: Sequence[Any]) -> None:
        known = self._status_topic.known(records)
        ours = {key: record for key, record in self._records.items() if self._is_ours(key)}
        self._records = (status.unconfirmed(known, _now()) if self._lease is None else known) | ours

    def _on_others_status(self, records: Sequence[Any]) -> None:
        """Take in what other replicas wrote: how their slots are, and which bonds they carry."""
        for key, record in self._status_topic.follow(records).items():
            if self._is_ours(key):
                continue
            if record is None:
                self._records.pop(key, None)
            else:
                self._records[key] = record
        self._changed.set()

    def _is_ours(self, key: str) -> bool:
        return self._situation is not None and status.is_ours(self._situation, key, self._records.get(key, {}))

    def _previous_lists(self) -> subscription.Lists:
        return remembered.from_status(self._records, self._saved)

    def _on_lists(self, lists: subscription.Lists, named: frozenset[str]) -> None:
        self._desired = subscription.desired(lists)
        self.delivery.request(frozenset(bond.isin for bond in self._desired))
        if named:
            for feed in self.feeds.values():
                feed.retry_rejected(named)
        self._place()
        self._changed.set()

    def _place(self) -> None:
        """Compute which slot carries which bond, over all slots, so that every replica gets the same answer."""
        self._capacities = self._present_capacities()
        self._placement = placement([bond.isin for bond in self._desired], self._capacities)
        self._carry()

    def _present_capacities(self) -> dict[int, int]:
        most = self._settings.kis.session_capacity
        told = {slot: status.capacity(self._records, slot) for slot in range(self._slot_count)}
        others = {slot: most if capacity is None else min(most, capacity) for slot, capacity in told.items()}
        return others | {slot: feed.capacity for slot, feed in self.feeds.items()}

    def _carry(self) -> None:
        """Say to each of our slots what it carries, bonds that are on their way to another slot included."""
        views, now = {slot: feed.view for slot, feed in self.feeds.items()}, _now()

        def is_active(isin: str, slot: int) -> bool:
            if slot not in views:
                return status.is_active(self._records, isin, slot, now)
            registration = views[slot].registrations.get(isin)
            return registration is not None and registration.state == "ACTIVE"

        wishes = carried([bond.isin for bond in self._desired], self._placement, views, is_active)
        for slot, wish in wishes.items():
            if wish != self._wishes.get(slot):
                self.feeds[slot].want(wish)
        self._wishes = wishes

    async def _plan(self) -> None:
        """After each change: place anew (a session may have learnt its limit), publish the status, keep the lists for the next start."""
        kept = None
        while True:
            await _within(self._changed, ALIVE_SECONDS)
            self._changed.clear()
            self._look_for_refusal()
            if self._control.lists is None or self._stopping:
                continue
            if self._capacities != self._present_capacities():
                self._place()
            else:
                self._carry()
            self._publish_status(self._control.lists)
            if kept is not (kept := self._control.lists):
                await self.journal.remember(SAVED_LISTS, remembered.to_text(kept))
            await asyncio.sleep(STATUS_PAUSE_SECONDS)

    def _publish_status(self, lists: subscription.Lists) -> None:
        slots = {slot: feed.view for slot, feed in self.feeds.items()}
        others = frozenset() if self._lease is None else frozenset(range(self._credentials.count())) - slots.keys()
        self._situation = Situation(self._desired, self._placement, slots, lists, self._settings.replicas.name, others)
        self._records = status.records(self._situation, self._records, _now())
        self._figures.count_instruments(self._records)
        self._status_topic.publish(self._records, self._is_ours if others else None)

    def _look_for_refusal(self) -> None:
        """Stop where KIS refused every app key for good before any session came up (exit 3)."""
        refusals = [feed.refused for feed in self.feeds.values()]
        if all(refusals) and not self._ever_connected and self._lease is None and not self._stopping:
            self.refusal = CredentialsRefused("\n".join(str(refusal) for refusal in refusals))
            self.stop()

    # -- what the parts are built with -----------------------------------------------------------------------------------

    def _feed(self, slot: int, learnt: int | None = None) -> KisFeed:
        return KisFeed(
            slot,
            self._settings.kis,
            self._read_app_key,
            self.journal,
            self._changed.set,
            self._tell,
            request_approval_key=self._request_approval_key,
            permission=self._lease,
            learnt=learnt,
        )

    def _read_app_key(self, slot: int) -> AppKey:
        app_key = self._credentials.read(slot)
        hide(app_key.appkey, app_key.appsecret)
        return app_key

    async def _request_approval_key(self, app_key: AppKey) -> Answer:
        answer = await self._approval.request(app_key)
        if isinstance(answer, Granted):
            hide(answer.approval_key)
        return answer

    def _client_arguments(self) -> dict[str, Any]:
        arguments = kafka_client.client_arguments(self._settings.kafka, self._settings.kafka_client_id)
        hide(arguments.get("sasl_plain_password") or "")
        return arguments

    def _producer(self, first_broker: str | None = None) -> AIOKafkaProducer:
        return kafka_client.make_producer(self._settings.kafka, self._settings.kafka_client_id, first_broker)

    def _leaders(self) -> Awaitable[dict[str, dict[int, str | None]]]:
        return kafka_client.leaders(self._settings.kafka, self._settings.kafka_client_id)

    def _writer(self, topic: str, headers: Sequence[tuple[str, bytes]] = ()) -> RecordWriter:
        return RecordWriter(topic, self._producer, kafka_client.abandon, headers)

    def _kafka(self) -> Kafka:
        topics = self._settings.topics
        return Kafka(topics.ticks, topics.dead_letters, self._leaders, self._producer, kafka_client.start, kafka_client.abandon)

    async def _framing(self) -> bytes:
        """Return what stands before each datum: the registry's id, or the single-object mark and fingerprint."""
        schema = TickSchema(bond_tick())
        if self._settings.registry.url is None:
            return schema.single_object_prefix
        subject = f"{self._settings.topics.ticks}-value"
        found = await registry.schema_id(self._settings.registry, subject, schema.text, self.journal.recall, self.journal.remember)
        return registry_prefix(found)

    # -- what is told ------------------------------------------------------------------------------------------------------

    @property
    def _ever_connected(self) -> bool:
        return any(event["event"] == "session_up" for event in self._recent_events)

    def _tell(self, event: dict[str, Any]) -> None:
        self._recent_events = [*self._recent_events[1 - RECENT_EVENTS :], event]
        self._event_topic.publish(event)

    def tell_loss(self, loss: Loss) -> None:
        """Publish frames that were received but given up."""
        detail = {
            "frames": loss.frames,
            "bytes": loss.bytes,
            "from": _rfc3339(loss.from_ns),
            "to": _rfc3339(loss.to_ns),
            "reason": loss.reason,
        }
        self._tell({"event": "loss", "at": _now(), "slot": loss.slot, "instrument": None, "detail": detail})

    def is_alive(self) -> bool:
        """Tell whether the event loop turns (it answered) and the journal's thread lives."""
        return self.journal.is_alive

    def readiness(self) -> tuple[list[str], list[str]]:
        """Return the reasons not to be ready, and what KIS holds up; Kafka going away later is neither."""
        reasons = [f"stopping: {self._stopping}"] if self._stopping else []
        if self._control.lists is None:
            why = self._status_reader.problem or self._control_reader.problem or "not read to its end yet"
            reasons.append(f"the wanted lists are not known: {why}")
        else:
            reasons += [reader.unusable for reader in (self._status_reader, self._control_reader) if reader.unusable]
        reasons += [problem for problem in (self.delivery.missing_topic, self._event_topic.missing) if problem]
        if self.journal.write_error:
            reasons.append(f"the journal is not writable: {self.journal.write_error}")
        if self._lease is not None and self._slot_group is not None:
            if self._slot_group.unusable:
                reasons.append(self._slot_group.unusable)
            elif not self._lease.is_member and not self.feeds:
                reasons.append(self._slot_group.problem or f"not a member of the group {self._settings.replicas.group_id} yet")
        degraded: list[str] = []
        for feed in self.feeds.values():
            view = feed.view
            if view.state in ("CONNECTED", "IDLE"):
                continue
            text = f"slot {view.slot} is {view.state}: {' '.join(filter(None, (view.code, view.message))) or 'no session yet'}"
            (degraded if view.message and not feed.refused else reasons).append(text)
        return reasons, degraded

    def metrics(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        return self._figures.text()

    def status(self) -> dict[str, Any]:
        """Return what there is to see: slots, lists, instruments, frames, ticks, recent events."""
        reasons, degraded = self.readiness()
        counts, journal = self.delivery.counts, self.journal
        return {
            "name": self._settings.replicas.name,
            "version": __version__,
            "started_at": self._started_at,
            "ready": not reasons,
            "reasons": reasons,
            "degraded": degraded,
            "topics": self._settings.topics.model_dump(),
            "replica": {
                "coordination": self._settings.replicas.coordination,
                "slots": sorted(self.feeds),
                "in_contact": self._lease is None or self._lease.in_contact(monotonic()),
                "problem": None if self._slot_group is None else self._slot_group.problem,
            },
            "frames": {
                "received": journal.received,
                "finished": journal.finished,
                "pending": journal.pending,
                "lost": dict(journal.lost),
            },
            "ticks": {
                "decoded": counts.decoded,
                "acknowledged": counts.acknowledged,
                "in_flight": counts.in_flight,
                "unrequested": counts.unrequested,
                "dead_letters": dict(counts.dead_letters),
            },
            "journal": {
                "bytes": journal.used_bytes,
                "max_bytes": self._settings.journal.max_bytes,
                "error": journal.write_error,
                "set_aside": journal.set_aside,
            },
            "delivery": self.delivery.view(),
            "slots": _by_name(self._records, status.SLOT),
            "lists": _by_name(self._records, status.LIST),
            "instruments": _by_name(self._records, status.INSTRUMENT),
            "events": self._recent_events[::-1],
        }


class _Stopped(Exception):
    """Ends the task group after an orderly stop."""


async def _within(event: asyncio.Event, seconds: float | None) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def _by_name(records: dict[str, Record], kind: str) -> dict[str, Record]:
    return {key.removeprefix(kind): record for key, record in records.items() if key.startswith(kind)}


def _slots_from(text: str | None) -> list[int]:
    """Return the slots kept from an earlier run; none where nothing readable was kept."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return [slot for slot in found if type(slot) is int] if isinstance(found, list) else []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rfc3339(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
