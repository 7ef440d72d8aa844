"""Two connectors share their app keys; `make replicas-test` has the long cases."""

import asyncio
import signal
from time import monotonic
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
from structlog.testing import capture_logs

from connector.app.slots import Slots
from connector.core.slots.lease import Lease
from connector.settings import load
from simulator import Simulator
from tests.deployment import Deployment
from tests.faults.rig import bonds
from tests.kafka.reader import create_topics


@pytest.fixture
async def pair(kafka, topic_names, tmp_path):
    """Give an exchange and two connectors, not started, with two app keys and six bonds."""
    async with Simulator() as kis:
        made = []
        for name in ("one", "two"):
            (folder := tmp_path / name).mkdir()
            replica = Deployment(kis, kafka.bootstrap_servers, topic_names, folder)
            replica.use_app_keys(2)
            replica.environment |= {
                "KIS_BOND_REPLICAS__COORDINATION": "group",
                "KIS_BOND_REPLICAS__GROUP_ID": topic_names.slots,
                "KIS_BOND_REPLICAS__NAME": name,
                "KIS_BOND_REPLICAS__SESSION_TIMEOUT_SECONDS": "6",
            }
            made.append(replica)
        made[0].create_topics()
        create_topics(kafka.bootstrap_servers, {topic_names.slots: 2})
        made[0].write("desk", {"instruments": bonds()})
        yield kis, *made
        for replica in made:
            if replica.process and replica.process.returncode is None:
                await replica.end(signal.SIGKILL)


def held(kis):
    """Return the bonds that KIS holds, by app key."""
    return {session.app_key: set(session.tr_keys) for session in kis.sessions}


async def test_a_standby_takes_over_from_an_owner_that_leaves(pair):
    """Both slots go over, every bond is active again, and the status names the new owner."""
    kis, one, two = pair
    await one.start()
    await one.until_state("ACTIVE", bonds())
    before = held(kis)
    assert set().union(*before.values()) == set(bonds())
    await two.start()
    await two.until_ready()
    # The standby sees what the owner wrote, and writes nothing itself.
    await two.until_state("ACTIVE", bonds())
    assert (await two.ask("/status"))[1]["replica"] == {
        "coordination": "group",
        "slots": [],
        "in_contact": True,
        "problem": None,
    }
    assert await one.end() == 0
    await two.until_state("ACTIVE", bonds(), 60)
    assert held(kis) == before
    await kis.emit_ticks(bonds()[0], 5)
    await two.until_delivered()
    assert await two.end() == 0
    latest = await two.latest(two.names.status)
    assert {latest[f"slot/{slot}"]["owner"] for slot in range(2)} == {None}
    assert {latest[f"instrument/{isin}"]["state"] for isin in bonds()} == {"DISCONNECTED"}
    owners = [record.value for record in await two.records(two.names.status) if record.key == b"slot/1"]
    assert b'"owner":"one"' in owners[0]
    assert any(b'"owner":"two"' in value for value in owners)
    assert len(await two.ticks()) == 5
    assert not [reply for reply in kis.replies if reply.code == "OPSP8996"]


async def test_a_replica_that_leaves_takes_no_further_slot():
    """A slot that the group assigns to a leaving replica waits for the next owner."""
    settings = load(None, {"KIS_BOND_REPLICAS__COORDINATION": "group", "KIS_BOND_REPLICAS__NAME": "one"})
    slots = Slots(settings, 2, lambda *_: pytest.fail("a feed was begun"), dict, tuple)
    await slots.stop()
    slots.lease.assign([0, 1], monotonic())
    async with asyncio.TaskGroup() as group:
        slots._follow_lease(group, lambda slot: None)
    assert slots.feeds == {}


class Feed:
    """A feed that runs until it is stopped."""

    def __init__(self, slot, *_):
        self.slot, self.is_stopped = slot, asyncio.Event()

    async def run(self):
        await self.is_stopped.wait()

    async def stop(self, *_, **__):
        self.is_stopped.set()

    def permission_changed(self):
        pass


async def test_slots_are_given_up_even_if_the_limit_passes_while_they_are_saved():
    """A slow disk keeps no session open beyond `replicas.blind_limit_seconds`."""
    settings = load(None, {"KIS_BOND_REPLICAS__COORDINATION": "group", "KIS_BOND_REPLICAS__NAME": "one"})
    slots = Slots(settings, 2, Feed, dict, tuple)
    slots.lease, made, known = Lease(0.1, 0.1, monotonic()), [], asyncio.Event()
    known.set()

    async def assign():
        slots._on_assigned(frozenset({0}))

    async def save(*_):
        made.extend(slots.feeds.values())
        while slots.lease.held(monotonic()):
            await asyncio.sleep(0.01)

    async def saved(_):
        return None

    slots.group = SimpleNamespace(run=assign)
    journal = SimpleNamespace(saved=saved, save=save)
    running = asyncio.create_task(slots.run(journal, known, lambda _: None, lambda: None))
    async with asyncio.timeout(30):
        while not made:
            await asyncio.sleep(0.01)
        await made[0].is_stopped.wait()
    assert slots.feeds == {}
    running.cancel()
    await asyncio.wait({running})


@pytest.mark.parametrize(
    "kept",
    ["no JSON", "{}", "1", '"01"', '["a"]', "[[0]]", "[-1]", "[" * 100_000, "9" * 5000],
    ids=lambda kept: kept[:20],
)
async def test_unreadable_saved_slots_hold_none(kept):
    """Without Kafka a start then waits for the group, as if nothing had been saved."""
    slots = Slots(load(None, {}), 2, Feed, dict, tuple)
    slots.group, journal = (
        SimpleNamespace(run=asyncio.Event().wait),
        SimpleNamespace(saved=AsyncMock(return_value=kept)),
    )
    with capture_logs() as logs:
        began = monotonic()
        running = asyncio.create_task(slots.run(journal, asyncio.Event(), lambda _: None, lambda: None))
        while not (logs or running.done()) and monotonic() < began + 10:
            await asyncio.sleep(0)
    assert ([entry["event"] for entry in logs], slots.held, running.done()) == (["kept_slots_unreadable"], set(), False)
    running.cancel()
    await asyncio.wait({running})


async def test_a_slot_that_comes_back_waits_for_the_end_of_its_old_session():
    """KIS allows one session for an app key, so the new feed starts after the old one ended."""
    order, may_end = [], asyncio.Event()

    async def run():
        order.append("run")

    async def stop(*_, **__):
        await may_end.wait()
        order.append("end")

    feed = SimpleNamespace(slot=0, run=run, stop=stop, permission_changed=lambda: None)
    settings = load(None, {"KIS_BOND_REPLICAS__COORDINATION": "group", "KIS_BOND_REPLICAS__NAME": "one"})
    slots = Slots(settings, 1, lambda *_: feed, dict, tuple)
    async with asyncio.TaskGroup() as group:
        for held in ({0}, set(), {0}):
            slots.lease.assign(held, monotonic())
            slots._follow_lease(group, lambda slot: None)
            for _ in range(5):
                await asyncio.sleep(0)
        assert order == ["run"]
        may_end.set()
    assert order == ["run", "end", "run"]


async def test_a_replica_without_a_slot_topic_is_not_ready(pair):
    """`/readyz` names the missing topic and says what to do."""
    _, one, _ = pair
    one.environment["KIS_BOND_TOPICS__SLOTS"] = "no.such.topic"
    await one.start()

    async def told():
        status, body = await one.ask("/readyz")
        return status == 503 and "no.such.topic does not exist" in str(body)

    await one.until(told)
    assert await asyncio.wait_for(one.end(), 30) == 0


async def test_an_app_key_without_a_partition_shows_as_a_slot_nobody_runs(pair):
    """A slot without a partition has a sample, so that the alert on unowned slots can fire."""
    _, one, _ = pair
    folder = one.folder / "credentials"
    (folder / "appkey-2").write_text("test-appkey-2\n")
    (folder / "appsecret-2").write_text("test-appsecret-2\n")
    await one.start()

    async def told():
        text = await one.text("/metrics")
        return all(
            f'kis_bond_slot_owned{{slot="{slot}"}} {owned}\n' in text
            for slot, owned in ((0, "1.0"), (1, "1.0"), (2, "0.0"))
        )

    await one.until(told)
    assert await one.end() == 0


async def test_a_slot_that_comes_back_twice_waits_for_its_first_session():
    """The slot leaves and returns two times while its first session still closes."""
    settings = load(None, {"KIS_BOND_REPLICAS__COORDINATION": "group", "KIS_BOND_REPLICAS__NAME": "one"})
    began, may_close, feeds = [], asyncio.Event(), []

    class Closing(Feed):
        async def run(self):
            if not self.is_stopped.is_set():
                began.append(self)

        async def stop(self, *_, **__):
            await super().stop()
            if self in began:
                await may_close.wait()

    def new_feed(slot, *_):
        feeds.append(Closing(slot))
        return feeds[-1]

    slots = Slots(settings, 1, new_feed, dict, tuple)
    async with asyncio.TaskGroup() as group:
        for turn, own in enumerate([{0}, set(), {0}, set(), {0}]):
            slots.lease.assign(own, monotonic() + turn)
            slots._follow_lease(group, lambda slot: None)
            for _ in range(10):
                await asyncio.sleep(0)
        assert began == feeds[:1]
        may_close.set()
    assert began == [feeds[0], feeds[2]]
