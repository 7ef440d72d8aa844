"""A stop is announced, polite and bounded; the exit code says whether anything is left."""

import asyncio
import signal
import time

import pytest

from simulator import Simulator
from tests.deployment import Deployment
from tests.faults.rig import bonds


@pytest.fixture
async def own(own_kafka, topic_names, tmp_path):
    """Give a connector with six active bonds, its exchange, and a Kafka that can be stopped."""
    async with Simulator() as kis:
        made = Deployment(kis, own_kafka.bootstrap_servers, topic_names, tmp_path)
        made.cluster = own_kafka
        made.environment["KIS_BOND_DELIVERY__STOP_DEADLINE_SECONDS"] = "60"
        made.create_topics()
        made.write("desk", {"instruments": bonds()})
        await made.start()
        await made.until_state("ACTIVE", bonds())
        yield made
        if made.process.returncode is None:
            await made.end(signal.SIGKILL)


async def pending(own, count):
    """Return whether so many frames wait for Kafka."""
    _, status = await own.ask("/status")
    return bool(status) and status["frames"]["pending"] >= count


async def stopping(own):
    """Return whether /readyz says that it is stopping."""
    status, body = await own.ask("/readyz")
    return status == 503 and "stopping" in str(body)


async def left(own):
    """Return whether the connector has no session at KIS."""
    return own.kis.sessions == []


async def test_a_stop_releases_every_bond_and_delivers_what_came(own):
    """KIS sees six releases and a close, Kafka gets every tick, the exit code is 0."""
    for isin in bonds():
        await own.kis.emit_ticks(isin, 20)
    assert await own.end() == 0
    assert [answer.tr_key for answer in own.kis.replies if answer.tr_type == "2"] == bonds()
    assert own.kis.sessions == []
    assert len(await own.ticks()) == 120


async def test_a_stop_is_announced_and_a_second_signal_ends_it(own):
    """After one signal it is not ready but answers; a second ends it at once with 6."""
    await own.end()
    own.environment["KIS_BOND_DELIVERY__STOP_SILENCE_SECONDS"] = "60"
    await own.start()
    await own.until_state("ACTIVE", bonds())
    await asyncio.to_thread(own.cluster.stop)
    await own.kis.emit_ticks(bonds()[0], 50)
    await own.until(lambda: pending(own, 50))
    own.process.send_signal(signal.SIGTERM)
    await own.until(lambda: stopping(own))
    await own.until(lambda: left(own))
    since = time.monotonic()
    assert await own.end(signal.SIGTERM) == 6
    assert time.monotonic() - since < 40, "the deadline of delivery is a minute"
    await asyncio.to_thread(own.cluster.start)
    await own.start()
    await own.until_delivered()
    assert await own.end() == 0
    assert len(await own.ticks()) == 50


async def test_silence_as_long_as_the_deadline_leaves_the_whole_deadline(own):
    """So a stop waits for Kafka if the journal goes with the pod, however long Kafka was away."""
    await own.end()
    own.environment["KIS_BOND_DELIVERY__STOP_DEADLINE_SECONDS"] = "5"
    own.environment["KIS_BOND_DELIVERY__STOP_SILENCE_SECONDS"] = "5"
    await own.start()
    await own.until_state("ACTIVE", bonds())
    await asyncio.to_thread(own.cluster.stop)
    away_since = time.monotonic()
    await own.kis.emit_ticks(bonds()[0], 50)
    await own.until(lambda: pending(own, 50) if time.monotonic() > away_since + 7 else asyncio.sleep(0))
    since = time.monotonic()
    assert await own.end() == 6
    assert time.monotonic() - since > 5
    assert "kafka_silent" not in own.log.read_text()


async def test_a_stop_does_not_wait_for_brokers_that_do_not_answer(own):
    """If no broker has answered for 5 s, a stop leaves KIS and ends; the next start delivers."""
    await asyncio.to_thread(own.cluster.stop)
    await own.kis.emit_ticks(bonds()[0], 50)
    await own.until(lambda: pending(own, 50))
    since = time.monotonic()
    assert await own.end() == 6
    took = time.monotonic() - since
    assert took < 40, "the deadline of delivery is a minute"
    assert [answer.tr_key for answer in own.kis.replies if answer.tr_type == "2"] == bonds()
    assert own.kis.sessions == []
    assert "kafka_silent" in own.log.read_text()
    await asyncio.to_thread(own.cluster.start)
    await own.start()
    await own.until_state("ACTIVE", bonds())
    await own.until_delivered()
    assert await own.end() == 0
    assert len(await own.ticks()) == 50
    ended = [event for event in await own.events() if event["event"] == "session_down"]
    assert [event["detail"]["cause"] for event in ended] == ["stop", "stop"]
