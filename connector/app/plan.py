"""Decides which slot carries which bond, and publishes the result as status records."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog

from connector.app.clock import now
from connector.app.status_log import StatusLog
from connector.core import status
from connector.core.lists import saved_lists, subscription
from connector.core.slots.moving import Moves, with_attempts
from connector.core.slots.placement import Places, place
from connector.core.status import ReplicaView
from connector.shell.kafka.compacted_topic import CompactedTopic
from connector.shell.kafka.waiting import in_turns, within
from connector.shell.topics.control import ControlTopic
from connector.shell.topics.status import WRITER, StatusTopic

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from connector.app.slots import Slots
    from connector.app.undelivered import Undelivered
    from connector.app.wanted_events import WantedEvents
    from connector.core.status import Record
    from connector.settings import Settings
    from connector.shell.journal import Journal
    from connector.shell.kafka.record_writer import RecordWriter

log = structlog.get_logger("connector.plan")

SAVED: Final = "lists"
# After a status round begins, the next one waits at least this long, even if something changes.
STATUS_PAUSE_SECONDS: Final = 0.05
# Without a change, the next round follows after this time, so that `alive_at` is renewed in time.
ALIVE_SECONDS: Final = 10.0
READ_SECONDS: Final = 2.0  # how long to wait for a topic before the saved lists are used


class Plan:
    """Gives the slots the bonds that the lists want, and publishes status records in rounds.

    Setting `changed` asks for a round. `records` holds the latest status records by key, including
    those of other replicas. `on_desired` gets the wanted bonds each time the lists are placed.
    `on_round` is called at the start of each round. `before_use` gets our slots and the records in
    which their earlier owners are seen, before we give the slots bonds. `on_restart` gets the name
    of a topic that was read again, and why.
    """

    def __init__(  # noqa: PLR0913 - the objects that the plan works with
        self,
        settings: Settings,
        journal: Journal,
        slots: Slots,
        changed: asyncio.Event,
        *,
        client_arguments: Callable[[], Mapping[str, Any]],
        new_writer: Callable[[str, Sequence[tuple[str, bytes]]], RecordWriter],
        on_desired: Callable[[frozenset[str]], None],
        on_round: Callable[[], None],
        before_use: Callable[[Iterable[int], Mapping[str, Record]], None],
        on_restart: Callable[[str, str], None],
        wanted_events: WantedEvents,
        undelivered: Undelivered,
    ) -> None:
        topics = settings.topics
        self._settings = settings
        self._journal = journal
        self._slots = slots
        self._on_desired = on_desired
        self._on_round = on_round
        self._before_use = before_use
        self._wanted_events = wanted_events
        self._undelivered = undelivered
        self._saved: subscription.Lists | None = None
        self._places = Places({}, {}, {})
        self._placement: dict[str, int] = {}
        self._moves = Moves()
        self._limits = slots.limits  # of the slots of all replicas
        # What the last round was made from; before the first round, no record is ours.
        self._situation = ReplicaView({}, {}, subscription.Lists(), settings.replicas.name, self._others)
        self._recorder = status.Recorder()
        self._heartbeats = status.Heartbeats()
        self._status_log = StatusLog()
        self._is_paused = False
        self.records: dict[str, Record] = {}
        self._changed = changed
        self._is_unplaced = False
        self._named: frozenset[str] = frozenset()
        self._unsaved = asyncio.Event()
        # Whether we know which limits KIS set earlier, or have stopped waiting for them.
        self.are_limits_known = asyncio.Event()
        self.control = ControlTopic(self._previous_lists, self._request_placement)
        self.control_reader = CompactedTopic(
            topics.control, client_arguments, self.control.snapshot, self.control.follow, on_restart
        )
        name = uuid.uuid4().hex.encode()
        self.status_topic = StatusTopic(
            new_writer(topics.status, [(WRITER, name)]), name, self.control.refuse_unreported
        )
        self.status_reader = CompactedTopic(
            topics.status, client_arguments, self._on_known_status, self._on_others_status, on_restart
        )

    # Reading the topics.

    async def read(self) -> None:
        """Read the status topic, then the control topic, and follow them until cancelled.

        The status topic says which lists were in force. If a topic cannot be read in time, the
        saved lists are used until it is read.
        """
        self._saved = await in_turns(saved_lists.from_text(await self._journal.saved(SAVED)))
        async with asyncio.TaskGroup() as group:
            group.create_task(self.status_reader.run(), name="status-reader")
            await self._use_saved_unless_read(self.status_reader)
            await self.status_reader.restored.wait()
            group.create_task(self.control_reader.run(), name="control-reader")
            await self._use_saved_unless_read(self.control_reader)

    async def _use_saved_unless_read(self, reader: CompactedTopic) -> None:
        """Use the saved lists if the topic is not read within READ_SECONDS."""
        if self._saved is not None and not await within(reader.restored, READ_SECONDS):
            log.warning("saved_lists_used", lists=len(self._saved.entries), reason=reader.problem)
            self.control.use_saved(await in_turns(self._previous_lists()))
            self.are_limits_known.set()

    def _previous_lists(self) -> Generator[None, None, subscription.Lists]:
        return saved_lists.from_status(self.records, self._saved)

    def _on_known_status(self, records: Sequence[Any]) -> Generator[None, None, None]:
        known = yield from self.status_topic.restore(records)
        self._note_use()
        self._wanted_events.restore(known, self._is_ours)
        # If the topic was made anew, other replicas have yet to write their records again. But a
        # refusal is as the topic says: another replica may have got the bond while we did not read.
        kept = {
            key: record
            for key, record in self.records.items()
            if key not in known or (record.get("state") != "REJECTED" and self._is_ours(key))
        }
        self._heartbeats.note(known, self.status_reader.followed_seconds, at := now())
        self._recorder = status.Recorder()  # each record may have another writer now
        desired = self.control.lists.desired if self.control.lists else ()
        self.records = status.unconfirmed(known, self._slots.held, at) | status.wanted(kept, desired)
        self.are_limits_known.set()
        self._changed.set()

    def _on_others_status(self, records: Sequence[Any]) -> None:
        """Record what other replicas wrote about their slots and bonds.

        What others wrote about ours is corrected in the next round. It does not start a round, so
        that two connectors which both take a record for theirs do not write in turns without end.
        """
        theirs, accepted = self.status_topic.follow(records)
        self._heartbeats.note(theirs, self.status_reader.followed_seconds, now())
        for key, record in accepted.items():
            self._changed.set()
            self._wanted_events.assume({key: record})
            self.control.follow_refusal(key, record)
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        # The owner may have our name: somebody may have started the same connector twice.
        if any(status.owner(theirs, slot) is not None for slot in self._slots.feeds):
            self._slots.lease.dispute(monotonic())

    @property
    def clocks_ahead(self) -> Mapping[str, float]:
        """The owners whose clocks are ahead of ours, in seconds."""
        return self._heartbeats.clocks_ahead(self.status_reader.followed_seconds)

    def _is_ours(self, key: str) -> bool:
        """Return whether we write this record; the last one, in the topic or known, decides."""
        return status.is_ours(self._situation, key, self.status_topic.content.get(key, self.records.get(key, {})))

    def _may_write(self, key: str) -> bool:
        """Return whether we may write this record.

        We write no record while we have no contact with the group, or while another replica claims
        one of our slots. In both cases the group may have given our slots to others. If the latest
        assignment took a slot from us, we write nothing until the feed of that slot has ended.
        """
        is_current = self._situation.slots.keys() <= self._slots.held
        return is_current and self._slots.lease.is_undisputed(monotonic()) and self._is_ours(key)

    def _request_placement(self, named: frozenset[str] = frozenset()) -> None:
        """Ask for a new placement, and for another try of the bonds `named` that KIS refused."""
        self._is_unplaced = True
        self._named |= named
        self._changed.set()

    # Placing bonds on slots.

    def learned_limit(self, slot: int) -> int | None:
        """Return the limit of registrations that the slot's latest owner reported."""
        return status.capacity(self.records, slot)

    def update_slots(self) -> None:
        """Place the bonds again, because feeds began or ended.

        If we lost a slot, read the records of the topic again: the new owner may have written some.
        """
        situation, feeds = self._situation, self._slots.feeds
        if situation.slots.keys() - feeds.keys():
            self.records = self.status_topic.readable()
            self._heartbeats.note(self.records, self.status_reader.followed_seconds, now())
            remaining = {slot: view for slot, view in situation.slots.items() if slot in feeds}
            self._situation = replace(situation, slots=remaining, others=self._others)
        self._request_placement()

    def _place(self, lists: subscription.Lists) -> None:
        """Decide which slot carries which bond, and give our slots their bonds.

        We also place bonds on the slots of other replicas, so that all replicas agree.
        """
        self._is_unplaced = False
        self._on_desired(frozenset(lists.desired))
        self._status_log.note_wanted(lists.desired)
        if named := self._named:
            for feed in self._slots.feeds.values():
                feed.retry_rejected(named)
            self.records = status.asked_anew(self.records, named, self._slots.views)
            self._named = status.unowned(self.records, named, self._others - self._alive())
        self._places = self._present_places()
        self._placement = place(lists.desired, self._places)
        self._carry()

    def _present_places(self) -> Places:
        seconds = max(self._settings.kis.slot_lost_seconds, status.SILENT_SECONDS)
        silent = self._heartbeats.silent(self._others, self.status_reader.followed_seconds, seconds)
        self._limits = status.known_limits(self._slots.limits, self._limits, self.records, silent)
        return status.places(self.records, self._limits, silent)

    @property
    def _others(self) -> frozenset[int]:
        """The slots that this replica does not run, including slots that no replica runs."""
        return frozenset({*self._limits, *self._slots.limits}) - self._slots.feeds.keys()

    def _alive(self) -> frozenset[int]:
        """Return the slots of other replicas whose owners are not silent."""
        return self._others - self._heartbeats.silent(self._others, self.status_reader.followed_seconds)

    def _note_use(self) -> None:
        # Out of contact, another replica may own a slot of ours and have its session open.
        if self._slots.in_contact:
            self._before_use(self._slots.feeds, self.status_topic.content)

    def _carry(self) -> None:
        """Give each of our slots the bonds placed on it and the bonds still moving away from it."""
        if self.status_reader.restored.is_set():
            self._note_use()
        views, alive = self._slots.views, self._alive()
        refused = self._places.refused
        wishes = self._moves.carried(
            self._placement,
            views,
            lambda isin, slot: slot in alive and status.is_active(self.records, isin, slot),
            refused,
            monotonic(),
        )
        lost = self._slots.lost & views.keys()
        wishes = with_attempts(wishes, self._placement, views, refused, lost)
        for slot, wish in wishes.items():
            if wish != list(self._slots.feeds[slot].wanted):
                self._slots.feeds[slot].want(wish)

    # Publishing the status.

    async def run(self) -> None:
        """Place new lists at once, and publish status records in rounds.

        A change starts a round, but not before STATUS_PAUSE_SECONDS have passed since the last one.
        Without a change, a round starts after ALIVE_SECONDS. If a round could not make all records,
        the next one starts at once.
        """
        due_at = (round_at := monotonic()) + ALIVE_SECONDS
        while True:
            await asyncio.sleep(0)  # `within` does not let other tasks run if something changed
            if await within(self._changed, due_at - monotonic()):
                self._changed.clear()
                due_at = min(due_at, round_at + STATUS_PAUSE_SECONDS)
            lists = None if self._is_paused else self.control.lists
            if lists is not None and self._is_unplaced:
                self._place(lists)
            if due_at <= monotonic():
                due_at = (round_at := monotonic()) + ALIVE_SECONDS
                self._on_round()
                if lists is not None:
                    self._publish(lists)
                    due_at = round_at if self._recorder.has_more else due_at

    async def save_lists(self) -> None:
        """Until cancelled, save the lists whenever they change; the next start reads them."""
        saved = None
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            if (lists := self.control.lists) is not None and lists is not saved:
                await self._journal.save(SAVED, await in_turns(saved_lists.to_text(lists)))
                saved = lists

    def _publish(self, lists: subscription.Lists) -> None:
        self._slots.note_outages()
        self._carry()
        at, slots, others, pending = now(), self._slots.views, self._others, self._undelivered.count()
        self._situation = ReplicaView(
            self._placement, slots, lists, self._settings.replicas.name, others, self._alive(), pending
        )
        before = self.records
        self.records = self._recorder.records(self._situation, before, at, self.status_topic.content)
        self._status_log.note(before, self.records, self._recorder.changed)
        self._status_log.note_clocks(self.clocks_ahead)
        self.status_topic.publish(self.records, self._may_write)
        self._wanted_events.note(self.records, self._recorder.changed, self._may_write, at)
        self._undelivered.note_written(self.records, slots)
        if self._places != self._present_places():  # a session may have learned its limit
            self._request_placement()
        self._unsaved.set()

    def pause(self) -> None:
        """Publish no more rounds of status records, because the connector is leaving."""
        self._is_paused = True

    async def say_goodbye(self, seconds: float) -> None:
        """Publish the last records of a clean stop, and wait at most `seconds` for their ack."""
        if self.records:
            last = status.stopped(self.records, at := now(), self._undelivered.count())
            self.status_topic.publish(last, self._may_write)
            desired = self.control.lists.desired if self.control.lists else ()
            self._wanted_events.note(last, status.wanted(last, desired), self._may_write, at)
            self._wanted_events.publish_some()
            await self.status_topic.wait_until_written(seconds)
