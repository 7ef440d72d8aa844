"""From the lists to the slots and back to the status topic: what is wanted, which slot carries it, and what became of it."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import structlog

from connector.app.clock import now, within
from connector.core import status
from connector.core.lists import saved_lists, subscription
from connector.core.slots.moving import carried
from connector.core.slots.placement import placement
from connector.core.status import ReplicaView
from connector.shell.kafka.compacted_topic import CompactedTopic
from connector.shell.topics.control import ControlTopic
from connector.shell.topics.status import WRITER, StatusTopic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connector.app.slots import Slots
    from connector.core.status import Record
    from connector.settings import Settings
    from connector.shell.journal import Journal
    from connector.shell.kafka.record_writer import RecordWriter

log = structlog.get_logger("connector.plan")

SAVED: Final = "lists"
STATUS_PAUSE_SECONDS: Final = 0.05  # changes within this time are one round of status records
ALIVE_SECONDS: Final = 10.0  # how often status records are made without a change, for the slots' alive_at
READ_SECONDS: Final = 2.0  # how long the topics are waited for before saved lists are used


class Plan:
    """Keeps the slots carrying what the lists want; `records` are the latest status records by key, those of other replicas included.

    `on_desired` gets the wanted bonds whenever lists changed, `on_round` is called before each round of status records.
    """

    def __init__(  # noqa: PLR0913 - the neighbours it stands between
        self,
        settings: Settings,
        journal: Journal,
        slots: Slots,
        *,
        client_arguments: Callable[[], Mapping[str, Any]],
        new_writer: Callable[[str, Sequence[tuple[str, bytes]]], RecordWriter],
        on_desired: Callable[[frozenset[str]], None],
        on_round: Callable[[], None],
    ) -> None:
        topics = settings.topics
        self._owner = settings.replicas.name
        self._session_capacity = settings.kis.session_capacity
        self._journal = journal
        self._slots = slots
        self._on_desired = on_desired
        self._on_round = on_round
        self._saved: subscription.Lists | None = None
        self._desired: list[subscription.Desired] = []
        self._places: dict[int, int] = {}
        self._placement: dict[str, int] = {}
        self._situation: ReplicaView | None = None
        self._is_paused = False
        self.records: dict[str, Record] = {}
        self.changed = asyncio.Event()
        self.control = ControlTopic(self._previous_lists, self._on_lists)
        self.control_reader = CompactedTopic(
            topics.control, client_arguments, self.control.snapshot, self.control.follow
        )
        name = uuid.uuid4().hex.encode()
        self.status_topic = StatusTopic(new_writer(topics.status, [(WRITER, name)]), name)
        self.status_reader = CompactedTopic(
            topics.status, client_arguments, self._on_known_status, self._on_others_status
        )

    # What was read.

    async def read(self) -> None:
        """Read the status topic (what was in force), then the control topic; while neither can be had, use the saved lists."""
        self._saved = saved_lists.from_text(await self._journal.saved(SAVED))
        async with asyncio.TaskGroup() as group:
            known = group.create_task(self.status_reader.run(), name="status-reader")
            await self._use_saved_unless_read(self.status_reader)
            await self.status_reader.restored.wait()
            if not self._slots.is_shared:
                known.cancel()  # nobody else writes there
            group.create_task(self.control_reader.run(), name="control-reader")
            await self._use_saved_unless_read(self.control_reader)

    async def _use_saved_unless_read(self, reader: CompactedTopic) -> None:
        """Put the lists kept from before in use where a topic cannot be read in time, be it out of reach or of a wrong shape."""
        if self._saved is not None and not await within(reader.restored, READ_SECONDS):
            log.warning("saved_lists_used", lists=len(self._saved.entries), reason=reader.problem)
            self.control.use_saved(self._previous_lists())

    def _previous_lists(self) -> subscription.Lists:
        return saved_lists.from_status(self.records, self._saved)

    def _on_known_status(self, records: Sequence[Any]) -> None:
        known = self.status_topic.known(records)
        ours = {key: record for key, record in self.records.items() if self._is_ours(key)}
        self.records = (known if self._slots.is_shared else status.unconfirmed(known, now())) | ours

    def _on_others_status(self, records: Sequence[Any]) -> None:
        """Take in what other replicas wrote: how their slots are, and which bonds they carry."""
        theirs = self.status_topic.follow(records)
        for key, record in theirs.items():
            if self._may_write(key):
                continue
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        if any(status.owner(theirs, slot) not in {None, self._owner} for slot in self._slots.feeds):
            self._slots.contested()
        self.changed.set()

    def _is_ours(self, key: str) -> bool:
        return self._situation is not None and status.is_ours(self._situation, key, self.records.get(key, {}))

    def _may_write(self, key: str) -> bool:
        """Tell whether a record is ours to write: of a slot held without contact, or contested, another replica may be the owner by now.

        What was made before a slot went over is not written any more, even if that is not taken in yet.
        """
        is_current = self._situation is not None and self._situation.slots.keys() <= self._slots.held
        return is_current and self._slots.are_undisputed and self._is_ours(key)

    def _on_lists(self, lists: subscription.Lists, named: frozenset[str]) -> None:
        self._desired = subscription.desired(lists)
        self._on_desired(frozenset(bond.isin for bond in self._desired))
        if named:
            for feed in self._slots.feeds.values():
                feed.retry_rejected(named)
        self._place()
        self.changed.set()

    # What each slot carries.

    def learnt(self, slot: int) -> int | None:
        """Return how many registrations a slot's owner said last that it carries."""
        return status.capacity(self.records, slot)

    def slots_changed(self) -> None:
        """Take in that feeds began or ended; what others wrote of a slot that was ours counts from now on."""
        situation, feeds = self._situation, self._slots.feeds
        if situation is not None and situation.slots.keys() - feeds.keys():
            self.records = self.status_topic.held()
            kept = {slot: view for slot, view in situation.slots.items() if slot in feeds}
            self._situation = replace(situation, slots=kept, others=self._slots.others)
        self._place()
        self.changed.set()

    def _place(self) -> None:
        """Compute which slot carries which bond, over all slots, so that every replica gets the same answer."""
        self._places = self._present_places()
        self._placement = placement([bond.isin for bond in self._desired], self._places)
        self._carry()

    def _present_places(self) -> dict[int, int]:
        """Return how many bonds each slot can be given, by the status records and by our own feeds' word."""
        feeds = self._slots.feeds
        own = {slot: feed.capacity for slot, feed in feeds.items()}
        told = status.places(self.records, range(self._slots.count), self._session_capacity, own)
        return told | {slot: max(feed.places, told.get(slot, 0)) for slot, feed in feeds.items()}

    def _carry(self) -> None:
        """Say to each of our slots what it carries, bonds that are on their way to another slot included."""
        views, at = {slot: feed.view for slot, feed in self._slots.feeds.items()}, now()

        def is_active(isin: str, slot: int) -> bool:
            if slot not in views:
                return status.is_active(self.records, isin, slot, at)
            registration = views[slot].registrations.get(isin)
            return registration is not None and registration.state == "ACTIVE"

        wishes = carried([bond.isin for bond in self._desired], self._placement, views, is_active)
        for slot, wish in wishes.items():
            if wish != list(self._slots.feeds[slot].wanted):
                self._slots.feeds[slot].want(wish)

    # What became of it.

    async def run(self) -> None:
        """After each change: place anew (a session may have learnt its limit), publish the status, keep the lists for the next start."""
        kept = None
        while True:
            await within(self.changed, ALIVE_SECONDS)
            self.changed.clear()
            self._on_round()
            if self.control.lists is None or self._is_paused:
                continue
            if self._places != self._present_places():
                self._place()
            else:
                self._carry()
            self._publish(self.control.lists)
            if kept is not (kept := self.control.lists):
                await self._journal.save(SAVED, saved_lists.to_text(kept))
            await asyncio.sleep(STATUS_PAUSE_SECONDS)

    def _publish(self, lists: subscription.Lists) -> None:
        slots = {slot: feed.view for slot, feed in self._slots.feeds.items()}
        self._situation = ReplicaView(self._desired, self._placement, slots, lists, self._owner, self._slots.others)
        self.records = status.records(self._situation, self.records, now())
        self.status_topic.publish(self.records, self._may_write if self._slots.is_shared else None)

    def pause(self) -> None:
        """Make no more status records: the connector is leaving."""
        self._is_paused = True

    async def say_goodbye(self, seconds: float) -> None:
        """Publish the last records of a clean stop, and wait that long at most until they are written; then others may write them."""
        if self.records:
            self.status_topic.publish(status.stopped(self.records, now()), self._may_write)
            await self.status_topic.settle(seconds)
        if self._slots.is_shared:
            self.status_topic.publish({}, _nothing)


def _nothing(_: str) -> bool:
    return False
