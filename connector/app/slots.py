"""The slots this replica runs: a feed for each slot it holds, and for no other."""

from __future__ import annotations

import asyncio
import json
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog

from connector.app.clock import within
from connector.core.slots.lease import Lease
from connector.shell.slot_group import SlotGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from connector.core.slots.lease import Permission
    from connector.settings import Settings
    from connector.shell.journal import Journal
    from connector.shell.kis import KisFeed

log = structlog.get_logger("connector.slots")

SAVED: Final = "slots"
RELEASE_SECONDS: Final = 3.0


class Slots:
    """`feeds` by slot. `app_keys` is how many there are, `learnt` tells the limit of registrations an earlier owner of a slot learnt.

    Standalone, every slot is run from the start; in a group those that it assigns. `on_change` is called when `feeds` changed.
    """

    def __init__(
        self,
        settings: Settings,
        app_keys: int,
        new_feed: Callable[[int, Permission | None, int | None], KisFeed],
        client_arguments: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.app_keys = app_keys
        self._new_feed = new_feed
        self.feeds: dict[int, KisFeed] = {}
        self._ending: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._is_stopping = False
        self._lease: Lease | None = None
        self._group: SlotGroup | None = None
        if settings.replicas.coordination == "group":
            self._lease, self._group = self._shared(settings, client_arguments)
        else:
            self.feeds = {slot: new_feed(slot, None, None) for slot in range(app_keys)}

    def _shared(self, settings: Settings, client_arguments: Callable[[], Mapping[str, Any]]) -> tuple[Lease, SlotGroup]:
        """Make the membership in the group, and the lease it gives."""
        replicas = settings.replicas
        lease = Lease(replicas.session_timeout_seconds, replicas.blind_limit_seconds, monotonic())

        def claim() -> tuple[frozenset[int], frozenset[int]]:
            # A session that was only just opened may be the one that KIS is about to refuse as in use.
            return lease.held(monotonic()), frozenset(slot for slot, feed in self.feeds.items() if feed.view.registered)

        def assigned(slots: frozenset[int]) -> None:
            lease.assign(slots, monotonic())
            self._changed.set()

        def heard(at: float) -> None:
            was_disputed = not lease.is_undisputed(monotonic())
            lease.confirm(at)
            if was_disputed:
                self._changed.set()

        group = SlotGroup(
            settings.topics.slots,
            replicas.group_id,
            replicas.session_timeout_seconds,
            client_arguments,
            claim=claim,
            on_assigned=assigned,
            on_heard=heard,
        )
        return lease, group

    # What others read.

    @property
    def is_shared(self) -> bool:
        """Whether other replicas may own slots."""
        return self._lease is not None

    @property
    def count(self) -> int:
        """The number of slots there are: of app keys, as far as the slot topic has partitions for them."""
        shared = self._group.slots if self._group is not None else None
        return self.app_keys if shared is None else min(shared, self.app_keys)

    @property
    def others(self) -> frozenset[int]:
        """The slots this replica does not run, be they owned by others or by nobody."""
        return frozenset(range(self.app_keys)) - self.feeds.keys()

    @property
    def held(self) -> AbstractSet[int]:
        """The slots that are ours by the latest assignment; `feeds` follow it."""
        return self.feeds.keys() if self._lease is None else self._lease.held(monotonic())

    @property
    def in_contact(self) -> bool:
        """Whether the group cannot have given our slots to others yet."""
        return self._lease is None or self._lease.in_contact(monotonic())

    @property
    def are_undisputed(self) -> bool:
        """Whether the status records of our slots are ours alone to write."""
        return self._lease is None or self._lease.is_undisputed(monotonic())

    def contested(self) -> None:
        """Take in that another replica was read to own a slot of ours."""
        if self._lease is not None:
            self._lease.dispute(monotonic())

    @property
    def problem(self) -> str | None:
        """Why this replica is no member of the group at present."""
        return None if self._group is None else self._group.problem

    @property
    def unready(self) -> str | None:
        """Why this replica could not take a slot over; a member that lost contact later could."""
        if self._lease is None or self._group is None:
            return None
        if self._group.unusable or self._lease.is_member or self.feeds:
            return self._group.unusable
        return self._group.problem or "not a member of the group that shares the app keys yet"

    # The slots' life.

    async def run(self, journal: Journal, learnt: Callable[[int], int | None], on_change: Callable[[], None]) -> None:
        """Run the feeds until cancelled; the slots held are kept beside the journal, for a start without Kafka."""
        async with asyncio.TaskGroup() as group:
            for feed in self.feeds.values():
                group.create_task(feed.run(), name=f"feed-{feed.slot}")
            if self._lease is not None and self._group is not None:
                group.create_task(self._group.run(), name="slot-group")
                self._lease.use_saved(_from_text(await journal.saved(SAVED)), monotonic())
                while True:
                    self._hold(group, self._lease, learnt)
                    on_change()
                    if self._lease.is_member:
                        await journal.save(SAVED, json.dumps(sorted(self.feeds)))
                    surrenders_at = self._lease.surrenders_at(monotonic())
                    await within(self._changed, None if surrenders_at is None else surrenders_at - monotonic())
                    self._changed.clear()

    def _hold(self, group: asyncio.TaskGroup, lease: Lease, learnt: Callable[[int], int | None]) -> None:
        """Begin and end feeds, so that they are those of the slots held."""
        held = {slot for slot in lease.held(monotonic()) if slot < self.app_keys}
        for slot in self.feeds.keys() - held:
            self._ending[slot] = group.create_task(self._let_go(self.feeds.pop(slot), lease), name=f"end-feed-{slot}")
        # What is assigned to a replica that is leaving goes on to the next owner with its leave.
        for slot in () if self._is_stopping else sorted(held - self.feeds.keys()):
            self.feeds[slot] = feed = self._new_feed(slot, lease, learnt(slot))
            group.create_task(self._take(feed, self._ending.pop(slot, None)), name=f"feed-{slot}")
        for feed in self.feeds.values():
            feed.permission_changed()

    @staticmethod
    async def _let_go(feed: KisFeed, lease: Lease) -> None:
        """Close a slot's session: at once where the group gave it to another, politely where it is only surrendered."""
        log.warning("slot_lost", slot=feed.slot)
        await feed.stop("lease", release_seconds=0 if lease.in_contact(monotonic()) else RELEASE_SECONDS)

    @staticmethod
    async def _take(feed: KisFeed, ending: asyncio.Task[None] | None) -> None:
        if ending is not None:
            await ending
        log.info("slot_taken", slot=feed.slot)
        await feed.run()

    async def stop(self) -> None:
        """Leave KIS politely, and take no slot any more."""
        self._is_stopping = True
        await asyncio.gather(*(feed.stop() for feed in self.feeds.values()), *self._ending.values())

    async def hand_over(self) -> None:
        """Leave the group, so that its other members take over at once."""
        if self._group is not None:
            await self._group.leave()


def _from_text(text: str | None) -> list[int]:
    """Return the slots kept from an earlier run; none where nothing readable was kept."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return [slot for slot in found if type(slot) is int] if isinstance(found, list) else []
