"""Membership in the Kafka group that shares the slots: the owner of partition k may open slot k.

The group protocol is the lock; the slot topic holds no records. A rebalance takes nothing from us:
our slots stay ours until the next assignment. Membership is not static, because a static member of
aiokafka sends no LeaveGroup.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import InvalidSessionTimeoutError, KafkaError

from connector.core.slots.assignment import (
    LATEST,
    Fleet,
    assign,
    decode,
    decode_fleet,
    difference,
    earlier_stranger,
    encode,
)
from connector.errors import NotInTime
from connector.shell.kafka.admin import SESSION_BOUNDS, TopicAdmin
from connector.shell.kafka.clients import has_topic
from connector.shell.kafka.closing import stop
from connector.shell.kafka.diagnosis import describe
from connector.shell.kafka.waiting import raise_if_cancelled, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from connector.core.slots.assignment import Claim

POLL_MS: Final = 500
# A member learns of a rebalance from its next heartbeat, so frequent ones make hand-overs quick.
HEARTBEATS_PER_TIMEOUT: Final = 20
# The coordinator answers JoinGroup when every member has joined or timed out. We wait for the
# answer this much longer than the session timeout.
JOIN_MARGIN_SECONDS: Final = 5.0
# After this many session timeouts without contact, we replace the client, because aiokafka never
# goes back to the bootstrap servers.
STUCK_TIMEOUTS: Final = 3.0
RETRY_SECONDS: Final = 1.0
# App keys that are being replaced differ for a while, until every replica has the new files.
CLAIM_CHECK_SECONDS: Final = 30.0
CLAIM_CHECK_TIMEOUT_SECONDS: Final = 2.0
STRANGER_SECONDS: Final = 300.0

log = structlog.get_logger("connector.slot_group")


class _NotReadyError(Exception):
    """The group cannot be used as it is set up; the text says what to do about it."""


class SlotGroup:
    """One member of the group; `problem` says why it is not in the group at present.

    `unusable` is set while the slot topic or a setting is the problem. `difference` says how
    another member's app keys or capacity differ from ours. `claim` returns what we claim; the group
    adds the generations. `on_assigned` gets each new assignment. `on_heard` gets the time
    (monotonic seconds) of each contact with the coordinator. None of these three
    functions may raise or wait.
    """

    def __init__(  # noqa: PLR0913 - the group to be a member of, and three neighbours
        self,
        topic: str,
        group_id: str,
        session_timeout: float,
        client_arguments: Callable[[], Mapping[str, Any]],
        *,
        claim: Callable[[], Claim],
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
        self._since = LATEST
        self._claimed: Claim | None = None
        self.fleet = Fleet()  # what the leader tells all members
        self._stranger: str | None = None
        self._stranger_since = 0.0
        self._silent_seconds = 0.0
        self._leaving = asyncio.Event()
        self._left = asyncio.Event()
        self._left.set()
        self.problem: str | None = None
        self.unusable: str | None = None
        self.difference: str | None = None

    @property
    def limits(self) -> Mapping[int, int]:
        """The slots that some member can open, each with its most bonds; empty until told."""
        return self.fleet.limits

    @property
    def clash(self) -> str | None:
        """Why we should not be in this group, or None: an earlier member has other app keys."""
        if self._stranger is None or time.monotonic() < self._stranger_since + STRANGER_SECONDS:
            return None
        return (
            f"the group {self._group_id} also has {self._stranger}, which shares none of our app keys: connectors "
            "with other app keys need another replicas.group_id and another topics.slots"
        )

    async def run(self) -> None:
        """Stay a member until `leave` or cancellation; join again after any failure."""
        self._left.clear()
        try:
            while not self._leaving.is_set():
                try:
                    await self._be_member()
                except Exception as error:  # noqa: BLE001 - no error of Kafka's client may end the connector; it is logged
                    raise_if_cancelled()
                    self._note_failure(error)
                    await within(self._leaving, RETRY_SECONDS)
        finally:
            self._left.set()

    async def leave(self) -> None:
        """Leave the group within a few seconds, so that its other members take over at once.

        A group that was left is not joined any more, even if `run` begins only after this.
        """
        self._leaving.set()
        await self._left.wait()

    def _note_failure(self, error: Exception) -> None:
        is_unusable = isinstance(error, _NotReadyError)
        problem = str(error) if is_unusable else f"the group {self._group_id} could not be joined: {describe(error)}"
        if problem != self.problem:
            log.warning("slot_group_not_joined", group=self._group_id, problem=problem)
        self.problem = problem
        self.unusable = problem if is_unusable else self.unusable

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
            partition_assignment_strategy=(_Assignor(self._topic, self),),
        )
        self._silent_seconds = 0.0
        try:
            async with asyncio.timeout(self._session_timeout + JOIN_MARGIN_SECONDS):
                await consumer.start()
                await self._require_topic(consumer)
            self._note_heartbeats(consumer)
            consumer.subscribe([self._topic], listener=_Listener(self, consumer))
            await self._stay(consumer)
        except InvalidSessionTimeoutError as error:
            raise _NotReadyError(await self._explain_session_timeout()) from error
        finally:
            if not self._leaving.is_set():
                # Nobody asked us to leave the group, and leaving would give our slots away. So we
                # let this member time out.
                _send_no_leave_group(consumer)
            await stop(consumer)

    async def _require_topic(self, consumer: AIOKafkaConsumer) -> None:
        if not await has_topic(consumer, self._topic):
            raise _NotReadyError(
                f"topic {self._topic} does not exist or may not be described: run kis-bond topics init --slots N"
            )

    async def _explain_session_timeout(self) -> str:
        setting = f"replicas.session_timeout_seconds is {self._session_timeout:g}"
        try:
            async with TopicAdmin.connect(self._client_arguments()) as admin:
                shortest, longest = await admin.session_bounds()
        except NotInTime:
            return f"{setting}, which Kafka refuses: set it within the brokers' {' and '.join(SESSION_BOUNDS)}"
        return f"{setting}, but Kafka allows {shortest:g} to {longest:g} ({', '.join(SESSION_BOUNDS)})"

    async def _stay(self, consumer: AIOKafkaConsumer) -> None:
        looked_at = checked_at = time.monotonic()
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
            # A frozen process adds at most a second, because aiokafka then joins again by itself.
            self._silent_seconds += min(time.monotonic() - looked_at, 2 * POLL_MS / 1000)
            looked_at = time.monotonic()
            if looked_at > checked_at + CLAIM_CHECK_SECONDS:
                checked_at = looked_at
                with contextlib.suppress(KafkaError, TimeoutError):  # who does not answer says nothing
                    async with asyncio.timeout(CLAIM_CHECK_TIMEOUT_SECONDS):
                        await self._require_topic(consumer)
                self._claim_again(consumer)
            if self._silent_seconds > STUCK_TIMEOUTS * self._session_timeout:
                raise TimeoutError(f"no contact with the group for {STUCK_TIMEOUTS * self._session_timeout:g} s")

    def _note_heartbeats(self, consumer: AIOKafkaConsumer) -> None:
        """Note each heartbeat that the coordinator accepts.

        aiokafka has no public way to see heartbeats, so we wrap a private method; its version is
        pinned.
        """
        coordinator: Any = consumer._coordinator  # noqa: SLF001 - see above
        beat = coordinator._do_heartbeat  # noqa: SLF001 - see above

        async def beat_and_note() -> bool:
            # The coordinator counts the session timeout from when it gets the heartbeat. If we
            # counted from its answer, and the process was frozen before it read that answer, we
            # would count from too late a time.
            sent_at = time.monotonic()
            accepted: bool = await beat()
            if accepted:
                self._note_contact(sent_at)
            return accepted

        coordinator._do_heartbeat = beat_and_note  # noqa: SLF001 - see above

    def _note_contact(self, at: float) -> None:
        self._silent_seconds = 0.0
        self.problem = self.unusable = None
        self._on_heard(at)

    def own_claim(self) -> Claim:
        """Return what we claim when we join."""
        self._claimed = self._claim()
        return replace(self._claimed, generation=self._generation, since=self._since)

    def _claim_again(self, consumer: AIOKafkaConsumer) -> None:
        """Join again if our app keys are not those that the other members were told of."""
        if self._claimed is not None and self._claim().keys != self._claimed.keys:
            coordinator: Any = consumer._coordinator  # noqa: SLF001 - no public way; the version is pinned
            coordinator.request_rejoin()

    def _compare(self, member: str) -> None:
        """Find out whether the other members have our app keys and capacity."""
        found = difference(member, self.fleet.claims)
        if found != self.difference and found:
            log.warning("replicas_differ", group=self._group_id, how=found)
        self.difference = found
        before, self._stranger = self._stranger, earlier_stranger(member, self.fleet.claims)
        if before is None:
            self._stranger_since = time.monotonic()

    def accept(self, slots: frozenset[int], consumer: AIOKafkaConsumer) -> None:
        """Note an assignment, and pass it to `on_assigned`."""
        coordinator: Any = consumer._coordinator  # noqa: SLF001 - no public way; the version is pinned
        self._generation = coordinator.generation
        self._since = min(self._since, self._generation)
        self._compare(coordinator.member_id)
        log.info("slots_assigned", group=self._group_id, generation=self._generation, slots=sorted(slots))
        openable = {*slots, *range(len(self._claim().keys))}
        if missing := sorted(openable - (consumer.partitions_for_topic(self._topic) or set())):
            log.warning("slots_without_partition", topic=self._topic, slots=missing)
        self._note_contact(time.monotonic())
        self._on_assigned(slots)


class _Listener(ConsumerRebalanceListener):
    """Passes new assignments on; a revocation only begins a rebalance and takes no slot from us."""

    def __init__(self, group: SlotGroup, consumer: AIOKafkaConsumer) -> None:
        self._group = group
        self._consumer = consumer

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Do nothing: our slots stay ours until the new assignment."""

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Pass the new assignment on."""
        self._group.accept(frozenset(partition.partition for partition in assigned), self._consumer)


class _Assignor:
    """Sends our claim when we join, and assigns slots by all claims if we lead the group.

    aiokafka calls these methods, and `core/slots/assignment.py` decides who gets which slot.
    """

    name = "kis-bond-slots"
    version = 0

    def __init__(self, topic: str, group: SlotGroup) -> None:
        self._topic = topic
        self._group = group

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Return what this member sends when it joins: its claim, as user data."""
        return ConsumerProtocolMemberMetadata(self.version, list(topics), encode(self._group.own_claim()))

    def assign(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Return every member's assignment; aiokafka asks only the leader of the group for it."""
        claims = {member: decode(metadata.user_data) for member, metadata in members.items()}
        slots = cluster.partitions_for_topic(self._topic) or ()
        assigned, fleet = assign(slots, claims, self._group.fleet.owners)
        told = encode(fleet)
        return {
            member: ConsumerProtocolMemberAssignment(self.version, [(self._topic, own)] if own else [], told)
            for member, own in assigned.items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Note what the leader tells; the listener gets the slots."""
        self._group.fleet = decode_fleet(assignment.user_data)


def _send_no_leave_group(consumer: AIOKafkaConsumer) -> None:
    """Make the consumer stop without a LeaveGroup, even if it joins the group again before.

    aiokafka has no public way to do this, so we replace a private method; its version is pinned.
    """
    coordinator: Any = consumer._coordinator  # noqa: SLF001 - see above
    if coordinator is not None:
        coordinator._maybe_leave_group = _keep_membership  # noqa: SLF001 - see above


async def _keep_membership() -> None:
    """Send nothing: the group drops the member after the session timeout."""
