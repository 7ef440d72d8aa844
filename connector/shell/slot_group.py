"""Membership in the Kafka group that shares the slots: owning partition k of the slot topic is the right to open slot k.

The group protocol is the lock; the topic holds no records. During a rebalance nothing is given up: what was assigned stays ours until the
next assignment says otherwise. No static membership: with it aiokafka sends no LeaveGroup.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from connector.core.slots.assignment import Claim, assign, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

POLL_MS: Final = 500
# A rebalance is noticed at a heartbeat, so this bounds what each member adds to a hand-over.
HEARTBEATS_PER_TIMEOUT: Final = 20
# JoinGroup is answered when all members came, or the absent ones timed out.
JOIN_MARGIN_SECONDS: Final = 5.0
# Without contact for so many session timeouts the client is made anew: aiokafka never goes back to the bootstrap servers.
STUCK_TIMEOUTS: Final = 3.0
RETRY_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 3.0

log = structlog.get_logger("connector.slot_group")


class _NotReadyError(Exception):
    """The slot topic cannot be used as it is; the text says what to do about it."""


class SlotGroup:
    """One member of the group; `problem` is why it is none at present, `slots` how many the topic has, None while that is not known.

    `claim` gives the slots held and, of these, those with a bond registered at KIS. `on_assigned` gets every new assignment, `on_heard` is
    called whenever the coordinator knew this member, with the time (monotonic seconds). None of them may raise or wait.
    """

    def __init__(  # noqa: PLR0913 - what it is a member of, and its three neighbours
        self,
        topic: str,
        group_id: str,
        session_timeout: float,
        client_arguments: Callable[[], Mapping[str, Any]],
        *,
        claim: Callable[[], tuple[frozenset[int], frozenset[int]]],
        on_assigned: Callable[[frozenset[int]], None],
        on_heard: Callable[[float], None],
    ) -> None:
        self._topic = topic
        self._group_id = group_id
        self._session_timeout = session_timeout
        self._client_arguments = client_arguments
        self._claim = claim
        self._on_assigned = on_assigned
        self._on_heard = on_heard
        self._generation = -1
        self._deaf_seconds = 0.0
        self._leaving = asyncio.Event()
        self._left = asyncio.Event()
        self.problem: str | None = None
        self.unusable: str | None = None
        self.slots: int | None = None

    async def run(self) -> None:
        """Be a member until `leave` or cancellation; whatever Kafka does, it is tried again."""
        try:
            while not self._leaving.is_set():
                try:
                    await self._be_member()
                except Exception as error:  # noqa: BLE001 - nothing of Kafka's may end the connector; what it was is said
                    self._failed(error)
                    await self._until_leaving(RETRY_SECONDS)
        finally:
            self._left.set()

    async def leave(self) -> None:
        """Leave the group, so that its other members take over at once; bounded in time."""
        self._leaving.set()
        await self._left.wait()

    async def _until_leaving(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._leaving.wait()
        except TimeoutError:
            return

    def _failed(self, error: Exception) -> None:
        said = (
            str(error)
            if isinstance(error, _NotReadyError)
            else f"the group {self._group_id} could not be joined: {error!r}"
        )
        if said != self.problem:
            log.warning("slot_group_not_joined", group=self._group_id, problem=said)
        self.problem = said
        self.unusable = said if isinstance(error, _NotReadyError) else self.unusable

    async def _be_member(self) -> None:
        timeout_ms = round(self._session_timeout * 1000)
        consumer = AIOKafkaConsumer(
            **{**self._client_arguments(), "request_timeout_ms": timeout_ms + round(JOIN_MARGIN_SECONDS * 1000)},
            group_id=self._group_id,
            session_timeout_ms=timeout_ms,
            rebalance_timeout_ms=timeout_ms,
            heartbeat_interval_ms=max(1, timeout_ms // HEARTBEATS_PER_TIMEOUT),
            enable_auto_commit=False,
            auto_offset_reset="latest",
            partition_assignment_strategy=(_Assignor(self._topic, self._own_claim),),
        )
        self._deaf_seconds = 0.0
        try:
            async with asyncio.timeout(self._session_timeout + JOIN_MARGIN_SECONDS):
                await consumer.start()
                # All topics are asked for, because asking for one by name would create it on a broker that creates topics by itself.
                topics = await consumer.topics()
            if self._topic not in topics:
                raise _NotReadyError(
                    f"topic {self._topic} does not exist or may not be described: run kis-bond topics init --slots N"
                )
            self._note_heartbeats(consumer)
            consumer.subscribe([self._topic], listener=_Listener(self, consumer))
            await self._stay(consumer)
        finally:
            if not self._leaving.is_set():
                # A client that is only made anew must not give its slots away; the group forgets the old member by itself.
                _forget_membership(consumer)
            await _within(CLOSE_SECONDS, consumer.stop)

    async def _stay(self, consumer: AIOKafkaConsumer) -> None:
        looked_at = time.monotonic()
        while not self._leaving.is_set():
            polled = asyncio.ensure_future(consumer.getmany(timeout_ms=POLL_MS))
            leaving = asyncio.ensure_future(self._leaving.wait())
            try:
                await asyncio.wait({polled, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if polled.done():
                    polled.result()
            finally:
                for task in (polled, leaving):
                    task.cancel()
                await asyncio.wait({polled, leaving})
            # The time a process was frozen does not count: aiokafka joins again by itself then.
            self._deaf_seconds += min(time.monotonic() - looked_at, 2 * POLL_MS / 1000)
            looked_at = time.monotonic()
            if self._deaf_seconds > STUCK_TIMEOUTS * self._session_timeout:
                raise TimeoutError(f"no word of the group for {STUCK_TIMEOUTS * self._session_timeout:g} s")

    def _note_heartbeats(self, consumer: AIOKafkaConsumer) -> None:
        """Have each heartbeat the coordinator accepted told. There is no public way to see them; the version is pinned."""
        coordinator: Any = consumer._coordinator  # noqa: SLF001 - see above
        beat = coordinator._do_heartbeat  # noqa: SLF001 - see above

        async def noted() -> bool:
            # The coordinator counts from when it got the heartbeat; a process frozen before the answer would count from too late.
            sent_at = time.monotonic()
            accepted: bool = await beat()
            if accepted:
                self._heard(sent_at)
            return accepted

        coordinator._do_heartbeat = noted  # noqa: SLF001 - see above

    def _heard(self, at: float) -> None:
        self._deaf_seconds = 0.0
        self.problem = self.unusable = None
        self._on_heard(at)

    def _own_claim(self) -> Claim:
        held, is_open = self._claim()
        return Claim(self._generation, held, is_open)

    def take(self, slots: frozenset[int], consumer: AIOKafkaConsumer) -> None:
        """Take over an assignment."""
        coordinator: Any = consumer._coordinator  # noqa: SLF001 - no public way; the version is pinned
        self._generation = coordinator.generation
        self.slots = len(consumer.partitions_for_topic(self._topic) or ()) or self.slots
        log.info("slots_assigned", group=self._group_id, generation=self._generation, slots=sorted(slots))
        self._heard(time.monotonic())
        self._on_assigned(slots)


class _Listener(ConsumerRebalanceListener):
    """Hands assignments on. Revocation is only the eager protocol's way to begin a rebalance, and takes nothing."""

    def __init__(self, group: SlotGroup, consumer: AIOKafkaConsumer) -> None:
        self._group = group
        self._consumer = consumer

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Keep what is ours until the new assignment."""

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Hand the new assignment on."""
        self._group.take(frozenset(partition.partition for partition in assigned), self._consumer)


class _Assignor:
    """Puts claims into the members' user data, and settles them by `core/slots/assignment.py`; aiokafka asks for these four."""

    name = "kis-bond-slots"
    version = 0

    def __init__(self, topic: str, claim: Callable[[], Claim]) -> None:
        self._topic = topic
        self._claim = claim

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Return what this member says when it joins."""
        return ConsumerProtocolMemberMetadata(self.version, list(topics), encode(self._claim()))

    def assign(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Return every member's assignment; the group's leader is asked."""
        claims = {member: decode(metadata.user_data) for member, metadata in members.items()}
        slots = cluster.partitions_for_topic(self._topic) or ()
        return {
            member: ConsumerProtocolMemberAssignment(self.version, [(self._topic, own)] if own else [], b"")
            for member, own in assign(slots, claims).items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Leave it to the listener."""


def _forget_membership(consumer: AIOKafkaConsumer) -> None:
    """Make the consumer's stop send no LeaveGroup, even if it joins again meanwhile. There is no public way; the version is pinned."""
    coordinator: Any = consumer._coordinator  # noqa: SLF001 - see above
    if coordinator is not None:
        coordinator._maybe_leave_group = _keep_membership  # noqa: SLF001 - see above


async def _keep_membership() -> None:
    """Leave it to the group to forget the member."""


async def _within(seconds: float, closing: Callable[[], Any]) -> None:
    """Close within a deadline, in a task of its own: aiokafka's stop can raise the CancelledError of a task it cancelled itself."""
    task = asyncio.ensure_future(closing())
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        task.cancel()
    elif not task.cancelled() and (error := task.exception()) is not None:
        log.debug("client_not_closed_cleanly", error=repr(error))
