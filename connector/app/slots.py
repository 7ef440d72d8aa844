"""Runs one feed for each slot that this replica holds."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog
from pydantic import NonNegativeInt, TypeAdapter

from connector.core.slots.assignment import Claim
from connector.core.slots.lease import FOREVER, Lease
from connector.core.slots.outage import Outages
from connector.errors import CredentialsRefused
from connector.shell.group_of_one import GroupOfOne
from connector.shell.kafka.waiting import within
from connector.shell.slot_group import SlotGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connector.core.kis.slot_view import SlotView
    from connector.settings import Settings
    from connector.shell.journal import Journal
    from connector.shell.kis import KisFeed

log = structlog.get_logger("connector.slots")

SAVED: Final = "slots"
RELEASE_SECONDS: Final = 3.0
_SLOTS: Final = TypeAdapter(list[NonNegativeInt])


class Slots:
    """The slots of this replica.

    `feeds` holds the feeds by slot, and `app_keys` is the number of app keys. The slots `lost` have
    had no session for so long that other slots carry their bonds. The `group` assigns slots to each
    replica, and the `lease` says what we may do with them. A standalone connector is a group of
    one, so it runs every slot.
    """

    def __init__(
        self,
        settings: Settings,
        app_keys: int,
        new_feed: Callable[[int, Lease, int | None], KisFeed],
        client_arguments: Callable[[], Mapping[str, Any]],
        hash_keys: Callable[[], tuple[str, ...]],
    ) -> None:
        self.app_keys = app_keys
        self._hash_keys = hash_keys
        self._session_capacity = settings.kis.session_capacity
        self._own_limits = dict.fromkeys(range(app_keys), self._session_capacity)
        self._outages = Outages(settings.kis.slot_lost_seconds)
        self.lost: frozenset[int] = frozenset()
        self._new_feed = new_feed
        self.feeds: dict[int, KisFeed] = {}
        self._ending: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._is_stopping = False
        replicas = settings.replicas
        self.group: SlotGroup | GroupOfOne
        if replicas.coordination == "standalone":
            self.lease = Lease(FOREVER, FOREVER, monotonic())
            self.group = GroupOfOne(self._own_limits, on_assigned=self._on_assigned, on_heard=self._on_heard)
        else:
            blind_limit = FOREVER if replicas.blind_limit_seconds is None else replicas.blind_limit_seconds
            self.lease = Lease(replicas.session_timeout_seconds, blind_limit, monotonic())
            self.group = SlotGroup(
                settings.topics.slots,
                replicas.group_id,
                replicas.session_timeout_seconds,
                client_arguments,
                claim=self._claim,
                on_assigned=self._on_assigned,
                on_heard=self._on_heard,
            )

    def _claim(self) -> Claim:
        # A session counts as open once a bond is registered: before that, KIS may still refuse the
        # session as "in use".
        is_open = frozenset(slot for slot, feed in self.feeds.items() if feed.view.registered)
        return Claim(held=self.held, open=is_open, capacity=self._session_capacity, keys=self._hash_keys())

    def _on_assigned(self, slots: frozenset[int]) -> None:
        self.lease.assign(slots, monotonic())
        self._changed.set()

    def _on_heard(self, at: float) -> None:
        was_disputed = not self.lease.is_undisputed(monotonic())
        self.lease.confirm(at)
        if was_disputed:
            self._changed.set()

    # Figures.

    @property
    def limits(self) -> Mapping[int, int]:
        """The slots of all replicas, each with the most bonds that the settings allow on it."""
        return self.group.limits or self._own_limits

    @property
    def views(self) -> dict[int, SlotView]:
        """Our slots as the status topic shows them: a lost one has no room."""
        views = {slot: feed.view for slot, feed in self.feeds.items()}
        return views | {slot: replace(views[slot], capacity=0) for slot in self.lost & views.keys()}

    def note_outages(self) -> None:
        """Find out which of our slots are lost.

        Out of contact, another replica may have a session on a slot of ours that we cannot open.
        """
        if not self.in_contact:
            return
        views = self.views
        before, self.lost = self.lost, self._outages.lost(views, monotonic())
        for slot in self.lost - before:
            log.warning("slot_set_aside", slot=slot, code=views[slot].code, message=views[slot].message)
        for slot in before - self.lost:
            log.info("slot_used_again", slot=slot)

    @property
    def held(self) -> frozenset[int]:
        """The slots that we hold at this moment and can open; `feeds` follows shortly after."""
        return frozenset(slot for slot in self.lease.held(monotonic()) if slot < self.app_keys)

    @property
    def in_contact(self) -> bool:
        """Whether we can be sure that the group has not given our slots to another replica."""
        return self.lease.in_contact(monotonic())

    @property
    def unready(self) -> str | None:
        """Why this replica could not take over a slot, or None if it could.

        A member that has lost contact with the group counts as able to take over a slot.
        """
        if problem := self.group.unusable or self.group.clash:
            return problem
        if self.lease.is_member or self.feeds:
            return None
        return self.group.problem or "not a member of the group that shares the app keys yet"

    @property
    def refusal(self) -> CredentialsRefused | None:
        """Why KIS refused every app key for good, or None if it did not."""
        refusals = [feed.refused for feed in self.feeds.values()]
        if not refusals or not all(refusals):
            return None
        return CredentialsRefused("\n".join(str(refusal) for refusal in refusals))

    # Starting and ending feeds.

    async def run(
        self,
        journal: Journal,
        are_limits_known: asyncio.Event,
        learned_limit: Callable[[int], int | None],
        on_change: Callable[[], None],
    ) -> None:
        """Run the feeds until cancelled, and save the held slots for a start without Kafka.

        `learned_limit` returns the limit of registrations that a slot's earlier owner learned. No
        feed starts before `are_limits_known`. `on_change` is called when `feeds` may have changed.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self.group.run(), name="slot-group")
            self.lease.use_saved(_from_text(await journal.saved(SAVED) or "[]"))
            await are_limits_known.wait()
            while True:
                self._follow_lease(group, learned_limit)
                on_change()
                if self.lease.is_member:
                    await journal.save(SAVED, json.dumps(sorted(self.feeds)))
                seconds = self.lease.surrenders_at - monotonic()
                await within(self._changed, seconds if self.feeds and seconds < FOREVER else None)
                self._changed.clear()

    def _follow_lease(self, group: asyncio.TaskGroup, learned_limit: Callable[[int], int | None]) -> None:
        """Start and end feeds, so that each slot we hold has one feed."""
        held = self.held
        for slot in self.feeds.keys() - held:
            end = self._end(self.feeds.pop(slot), self._ending.get(slot))
            self._ending[slot] = group.create_task(end, name=f"end-feed-{slot}")
        # We start no slot that we get while we are stopping: leaving the group passes the slot on.
        for slot in () if self._is_stopping else sorted(held - self.feeds.keys()):
            self.feeds[slot] = feed = self._new_feed(slot, self.lease, learned_limit(slot))
            group.create_task(self._start(feed, self._ending.get(slot)), name=f"feed-{slot}")
        for feed in self.feeds.values():
            feed.permission_changed()

    async def _end(self, feed: KisFeed, before: asyncio.Task[None] | None) -> None:
        """End the feed of a slot that we lost, and the feed `before` that still ends."""
        log.warning("slot_lost", slot=feed.slot)
        # In contact, another replica may own the slot by now. Otherwise we first release the bonds.
        await feed.stop("lease", release_seconds=0 if self.in_contact else RELEASE_SECONDS)
        if before is not None:
            await before

    @staticmethod
    async def _start(feed: KisFeed, ending: asyncio.Task[None] | None) -> None:
        if ending is not None:
            await ending
        log.info("slot_taken", slot=feed.slot)
        await feed.run()

    async def stop(self) -> None:
        """Stop every feed, which releases its bonds, and start no further feed."""
        self._is_stopping = True
        await asyncio.gather(*(feed.stop() for feed in self.feeds.values()), *self._ending.values())

    async def hand_over(self) -> None:
        """Leave the group, so that its other members take over our slots at once.

        From then on, only the slots' next owners write status records.
        """
        self.lease.give_up()
        await self.group.leave()


def _from_text(saved: str) -> list[int]:
    """Return the slots that the last process held, or none if the text is unreadable."""
    try:
        return _SLOTS.validate_json(saved)
    except ValueError:
        log.warning("kept_slots_unreadable", kept=saved)
        return []
