"""Membership in the group that shares the slots, on a real Kafka."""

import asyncio
import contextlib
import time
from types import SimpleNamespace

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from structlog.testing import capture_logs

from connector.core.slots.assignment import Claim
from connector.shell import slot_group
from connector.shell.slot_group import SlotGroup
from tests.kafka.reader import create_topics, delete_topic

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(func_only=True)]
SESSION_TIMEOUT = 6.0


class Member:
    """One member and its assignments; it claims what it holds, with open sessions if `is_open`."""

    def __init__(self, kafka, topic, *, is_open=False, session_timeout=SESSION_TIMEOUT, keys=("a", "b", "c")):
        self.keys = keys
        self.held, self.assignments, self.contacts = frozenset(), [], 0
        self.is_open = is_open
        self.group = SlotGroup(
            topic,
            f"{topic}-group",
            session_timeout,
            lambda: {"bootstrap_servers": kafka.bootstrap_servers},
            claim=self.claim,
            on_assigned=self.hold,
            on_heard=self.note_contact,
        )

    def claim(self):
        return Claim(held=self.held, open=self.held if self.is_open else frozenset(), capacity=41, keys=self.keys)

    def hold(self, slots):
        self.held = slots
        self.assignments.append(set(slots))

    def note_contact(self, at):
        assert at <= time.monotonic()
        self.contacts += 1


@contextlib.asynccontextmanager
async def running(member):
    """Run a member while the block lasts, then cancel it: it does not leave the group."""
    task = asyncio.create_task(member.group.run())
    try:
        yield member
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(condition, seconds=60):
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.02)


async def test_a_member_gets_all_slots_and_hears_of_the_group(kafka, topic_names):
    """A lone member owns every partition, knows how many there are, and reports each heartbeat."""
    create_topics(kafka.bootstrap_servers, {topic_names.slots: 3})
    async with running(Member(kafka, topic_names.slots)) as one:
        await until(lambda: one.assignments)
        assert one.assignments == [{0, 1, 2}]
        assert one.group.limits == {0: 41, 1: 41, 2: 41}
        assert one.group.difference is None
        contacts = one.contacts
        await until(lambda: one.contacts > contacts + 1)
        assert one.group.problem is None


async def test_a_member_that_joins_takes_nothing_and_one_that_leaves_hands_over(kafka, topic_names):
    """A second member gets nothing until the first leaves, and then needs no session timeout."""
    create_topics(kafka.bootstrap_servers, {topic_names.slots: 2})
    async with running(Member(kafka, topic_names.slots, session_timeout=60.0)) as one:
        await until(lambda: one.held == {0, 1})
        async with running(Member(kafka, topic_names.slots, session_timeout=60.0)) as two:
            await until(lambda: two.assignments)
            assert two.held == frozenset()
            assert one.held == {0, 1}
            await one.group.leave()
            await until(lambda: two.held == {0, 1}, 50)


async def test_a_member_that_vanishes_is_replaced_after_the_session_timeout(kafka, topic_names):
    """A cancelled member does not leave the group: replacing a client must not give slots away."""
    create_topics(kafka.bootstrap_servers, {topic_names.slots: 2})
    async with contextlib.AsyncExitStack() as later:
        async with running(Member(kafka, topic_names.slots)) as one:
            await until(lambda: one.held == {0, 1})
            two = await later.enter_async_context(running(Member(kafka, topic_names.slots)))
            await until(lambda: two.assignments)
            since = time.monotonic()
        await until(lambda: two.held == {0, 1})
        assert SESSION_TIMEOUT - 1 < time.monotonic() - since < SESSION_TIMEOUT + 30


async def test_unlike_members_place_alike_and_are_told(kafka, topic_names, monkeypatch):
    """Two and three app keys: both know three slots, the third goes to the one that can open it."""
    create_topics(kafka.bootstrap_servers, {topic_names.slots: 3})
    async with running(Member(kafka, topic_names.slots, keys=("a", "b"))) as one:
        await until(lambda: one.held == {0, 1})
        async with running(Member(kafka, topic_names.slots)) as two:
            await until(lambda: two.held == {2} and len(one.group.limits) == 3)
            assert one.held == {0, 1}
            assert one.group.limits == two.group.limits == {0: 41, 1: 41, 2: 41}
            await until(lambda: "has 3 app keys" in (one.group.difference or ""))
            await until(lambda: "has 2 app keys" in (two.group.difference or ""))
            monkeypatch.setattr(slot_group, "CLAIM_CHECK_SECONDS", 0.5)
            one.keys = two.keys  # the files of the third pair arrived
            await until(lambda: one.group.difference is None and two.group.difference is None)
            assert (one.held, two.held) == ({0, 1}, {2})
            await two.group.leave()
            await until(lambda: one.held == {0, 1, 2})


async def test_a_stranger_finds_out_that_it_joined_the_wrong_group(kafka, topic_names, monkeypatch):
    """Of two members without a common app key, the later one clashes after five minutes."""
    create_topics(kafka.bootstrap_servers, {topic_names.slots: 1})
    async with running(Member(kafka, topic_names.slots, keys=("a",))) as one:
        await until(lambda: one.held)
        async with running(Member(kafka, topic_names.slots, keys=("x",))) as two:
            await until(lambda: two.group.difference)
            assert two.group.clash is None
            monkeypatch.setattr(slot_group, "STRANGER_SECONDS", 0.0)
            assert "shares none of our app keys" in two.group.clash
            assert one.group.clash is None


async def test_a_missing_topic_is_reported_and_waited_for(kafka, topic_names):
    """The problem says what to do about a missing topic, and the member joins once it exists."""
    async with running(Member(kafka, topic_names.slots)) as one:
        await until(lambda: one.group.unusable)
        assert one.group.unusable == (
            f"topic {topic_names.slots} does not exist or may not be described: run kis-bond topics init --slots N"
        )
        create_topics(kafka.bootstrap_servers, {topic_names.slots: 1})
        await until(lambda: one.held == {0})
        assert one.group.unusable is None


async def test_a_slot_topic_that_is_deleted_takes_no_slot_away(kafka, topic_names, monkeypatch):
    """A rebalance without the topic leaves the slots where they are, and the problem is told."""
    create_topics(kafka.bootstrap_servers, {topic_names.slots: 2})
    async with running(Member(kafka, topic_names.slots)) as one:
        await until(lambda: one.held == {0, 1})
        async with running(Member(kafka, topic_names.slots)) as two:
            await until(lambda: two.assignments)
            await asyncio.to_thread(delete_topic, kafka.bootstrap_servers, topic_names.slots)
            rebalances = len(one.assignments)
            await two.group.leave()
            await until(lambda: len(one.assignments) > rebalances)
        monkeypatch.setattr(slot_group, "CLAIM_CHECK_SECONDS", 0.5)
        await until(lambda: one.group.unusable)
        await asyncio.to_thread(create_topics, kafka.bootstrap_servers, {topic_names.slots: 2})
        rebalances = len(one.assignments)
        await until(lambda: len(one.assignments) > rebalances and one.group.unusable is None)
        assert all(slots == {0, 1} for slots in one.assignments)


@pytest.mark.parametrize("seconds", [2.0, 7200.0])
async def test_a_session_timeout_that_kafka_refuses_is_reported_with_the_bounds(kafka, topic_names, seconds):
    """If the session timeout is out of the brokers' bounds, its setting and they are named."""
    create_topics(kafka.bootstrap_servers, {topic_names.slots: 1})
    async with running(Member(kafka, topic_names.slots, session_timeout=seconds)) as one:
        await until(lambda: one.group.unusable)
        assert one.group.unusable == (
            f"replicas.session_timeout_seconds is {seconds:g}, but Kafka allows 6 to 1800"
            " (group.min.session.timeout.ms, group.max.session.timeout.ms)"
        )


async def test_leaving_is_bounded_while_kafka_is_away(topic_names, monkeypatch):
    """A member that never joined leaves soon."""
    monkeypatch.setattr(slot_group, "RETRY_SECONDS", 60)
    nowhere = type("Nowhere", (), {"bootstrap_servers": "127.0.0.1:1"})
    async with running(Member(nowhere, topic_names.slots)) as one:
        await until(lambda: one.group.problem)
        since = time.monotonic()
        await one.group.leave()
        assert time.monotonic() - since < 30


async def test_leaving_before_the_start_waits_for_nothing():
    """A group that was left before its start is left at once, and is then not joined."""
    nowhere = type("Nowhere", (), {"bootstrap_servers": "127.0.0.1:1"})
    one = Member(nowhere, "slots")
    async with asyncio.timeout(30):
        await one.group.leave()
        await one.group.run()
        await one.group.leave()
    assert one.group.problem is None


def test_slots_that_the_topic_lacks_are_told():
    """Slots without a partition stay ours; the log names them and those that wait for theirs."""
    one = Member(SimpleNamespace(bootstrap_servers=""), "slots")
    consumer = SimpleNamespace(
        _coordinator=SimpleNamespace(generation=3, member_id="one"), partitions_for_topic=lambda _: {0}
    )
    with capture_logs() as lines:
        one.group.accept(frozenset({0, 1}), consumer)
    assert one.held == {0, 1}
    told = [line for line in lines if line["event"] == "slots_without_partition"]
    assert [(line["topic"], line["slots"]) for line in told] == [("slots", [1, 2])]


async def test_replacing_a_client_gives_no_slot_away():
    """Its stop does not leave the group, even if it joined again at the same moment."""
    left = []

    async def leave():
        left.append("left")

    consumer = SimpleNamespace(_coordinator=SimpleNamespace(generation=3, _maybe_leave_group=leave))
    slot_group._send_no_leave_group(consumer)
    consumer._coordinator.generation = 4
    await consumer._coordinator._maybe_leave_group()
    assert left == []
    assert hasattr(GroupCoordinator, "_maybe_leave_group"), "aiokafka leaves the group by another name"
