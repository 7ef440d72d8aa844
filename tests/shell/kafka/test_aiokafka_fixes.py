"""aiokafka's clients connect to each broker apart, ask all of them, and leave nothing open."""

import asyncio
import gc
import ssl
import warnings
from types import SimpleNamespace

import aiokafka.client
import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_UNCOMMITTED
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from structlog.testing import capture_logs

from connector.shell.kafka import aiokafka_fixes
from connector.shell.kafka.diagnosis import Unreachable
from simulator.embedded_kafka import EmbeddedKafka
from tests import two_addresses
from tests.security.certificates import Authority
from tests.tls_front import tls_front


async def test_a_broker_that_does_not_answer_delays_no_connection_to_another(monkeypatch):
    """Connections to several nodes are made at once, and each node gets only one."""
    thawed, made = asyncio.Event(), []

    async def create(host, *_, **__):
        made.append(host)
        if host == "frozen":
            await thawed.wait()
        await asyncio.sleep(0)
        return SimpleNamespace(connected=lambda: True, close=lambda reason: asyncio.sleep(0))

    monkeypatch.setattr(aiokafka.client, "create_conn", create)
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    client.cluster.broker_metadata = lambda node: SimpleNamespace(host=node, port=1)
    waiting = asyncio.create_task(client.ready("frozen"))
    async with asyncio.timeout(30):
        assert await asyncio.gather(*(client.ready("healthy") for _ in range(3))) == [True] * 3
    assert not waiting.done()
    thawed.set()
    assert await asyncio.wait_for(waiting, 30)
    assert sorted(made) == ["frozen", "healthy"]
    await client.close()


async def test_closing_a_client_closes_the_connection_it_is_about_to_open(monkeypatch):
    """A connection being made when the client closes is closed as well, and no other is opened."""
    made, may_finish, closed = asyncio.Event(), asyncio.Event(), []

    class Connection:
        def connected(self):
            return True

        def close(self):
            closed.append(self)

    async def create(*_, **__):
        made.set()
        await may_finish.wait()
        return Connection()

    monkeypatch.setattr(aiokafka.client, "create_conn", create)
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    client.cluster.broker_metadata = lambda node: SimpleNamespace(host="127.0.0.1", port=1)
    opening = asyncio.create_task(client.ready(0))
    await made.wait()
    await asyncio.wait_for(client.close(), 30)
    may_finish.set()
    assert not await opening
    assert len(closed) == 1
    assert not await client.ready(0)


async def test_a_name_with_a_dead_address_is_reached_over_the_next_one(monkeypatch):
    """If a name's first address swallows connections, its second is used before a time-out."""
    two_addresses.resolve(monkeypatch)
    with EmbeddedKafka({"t": 1}) as kafka:
        port = int(kafka.bootstrap_servers.split(":")[1])
        with two_addresses.swallowing(port):
            client = AIOKafkaClient(bootstrap_servers=f"{two_addresses.NAME}:{port}")
            async with asyncio.timeout(30):
                await client.bootstrap()
            assert client.cluster.brokers()
            await client.close()


async def test_a_cancelled_client_leaves_no_connection_open(monkeypatch):
    """At whatever step a client's start is cancelled, each of its sockets is closed."""
    two_addresses.resolve(monkeypatch)
    gc.collect()
    has_started, steps = False, 0
    with EmbeddedKafka({"t": 1}) as kafka, warnings.catch_warnings(record=True, action="always") as unclosed:
        port = kafka.bootstrap_servers.split(":")[1]
        while not has_started:
            client = AIOKafkaClient(bootstrap_servers=f"{two_addresses.NAME}:{port}")
            starting = asyncio.create_task(client.bootstrap())
            for _ in range(steps):
                await asyncio.sleep(0)
            has_started = starting.done()
            starting.cancel()
            await asyncio.wait({starting})
            await client.close()
            steps += 1
        assert starting.exception() is None
        gc.collect()
    assert [str(warning.message) for warning in unclosed] == []


async def start_and_close(address, **security):
    """Start a client, and close it."""
    client = AIOKafkaClient(bootstrap_servers=address, security_protocol="SSL", **security)
    await client.bootstrap()
    await client.close()


async def be_refused(address, **security):
    """Fail at the login, which the server behind the TLS front does not know."""
    login = {"sasl_mechanism": "PLAIN", "sasl_plain_username": "bond", "sasl_plain_password": "password"}
    client = AIOKafkaClient(bootstrap_servers=address, security_protocol="SASL_SSL", **login, **security)
    with pytest.raises(Unreachable):
        await client.bootstrap()
    await client.close()


async def be_cancelled(address, **security):
    """Cancel a connection at ever later moments, until it is made before that."""
    host, port = address.split(":")
    opening = asyncio.create_task(asyncio.sleep(0))
    turns = 0
    while opening.cancelled() or turns == 0:
        connection = AIOKafkaConnection(host, int(port), security_protocol="SSL", **security)
        opening = asyncio.create_task(connection.connect())
        for _ in range(turns):
            await asyncio.sleep(0.0002)
        opening.cancel()
        await asyncio.wait({opening})
        turns += 1
    opening.result()
    connection.close()


@pytest.mark.parametrize("use", [start_and_close, be_refused, be_cancelled])
def test_a_server_that_does_not_end_its_tls_keeps_no_socket_open(tmp_path, caplog, use):
    """When the event loop ends, no connection is open, though the server answers no farewell."""
    authority = Authority(tmp_path)
    security = {"ssl_context": ssl.create_default_context(cafile=authority.ca)}
    gc.collect()
    with EmbeddedKafka({"t": 1}) as kafka, warnings.catch_warnings(record=True, action="always") as unclosed:
        port = int(kafka.bootstrap_servers.split(":")[1])
        with tls_front(port, authority.issue("broker")) as secured:
            asyncio.run(use(f"127.0.0.1:{secured}", **security))
            caplog.clear()  # the logged errors hold their connections
            gc.collect()
            assert [str(warning.message) for warning in unclosed] == []


def batch(magic, codec, offset, value):
    """Build a batch of one record in the format `magic`, compressed by the codec of that number."""
    if magic == 2:
        builder, more = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 2**30), {"headers": []}
    else:
        builder, more = LegacyRecordBatchBuilder(magic, codec, 2**30), {}
    builder.append(0 if magic else offset, timestamp=0, key=b"k", value=value, **more)
    return offset.to_bytes(8) + bytes(builder.build())[8:]


@pytest.mark.parametrize(("magic", "codec"), [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (2, 4)])
def test_a_batch_of_any_format_above_the_bound_is_skipped(magic, codec):
    """Only the batch that unpacks to too much is skipped, in each format and for each codec."""
    aiokafka_fixes.skipped_batches.clear()
    values = [b"good", bytes(40 * 2**20), b"fine"]
    batches = b"".join(batch(magic, codec, offset, value) for offset, value in enumerate(values))
    with capture_logs() as logs:
        records = fetcher.PartitionRecords(
            TopicPartition("t", 3), MemoryRecords(batches), [], 0, None, None, True, READ_UNCOMMITTED
        )
        assert [(record.offset, record.value) for record in records] == [(0, b"good"), (2, b"fine")]
    (line,) = logs
    assert (line["event"], line["topic"], line["partition"]) == ("batch_skipped", "t", 3)
    assert (line["first_offset"], line["last_offset"]) == (1, 1)
    assert aiokafka_fixes.skipped_batches == {"t": 1}


async def test_zero_follows_the_highest_sequence_number():
    """Numbers also go back over the end, because those of a refused batch are free again."""
    numbers, place = TransactionManager(None, 0), TopicPartition("ticks", 0)
    numbers.increment_sequence_number(place, 2**31 - 3)
    numbers.increment_sequence_number(place, 7)
    assert numbers.sequence_number(place) == 4
    numbers.increment_sequence_number(place, -7)
    assert numbers.sequence_number(place) == 2**31 - 3
