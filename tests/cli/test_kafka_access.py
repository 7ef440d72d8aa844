"""Tests of how one command reads and writes topics."""

import asyncio
import random

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from connector.cli import kafka_access
from connector.cli.kafka_access import LatestRecords, reason
from connector.errors import ConfigurationError, NotInTime
from connector.settings import load
from connector.shell.kafka import clients
from connector.shell.kafka.compacted_topic import TopicRecord
from tests.kafka.reader import create_topics, read_all


def record(key, value):
    """Return one record of a compacted topic."""
    return TopicRecord(key, value, 0, 0, 0)


def test_the_latest_record_counts():
    """The latest record of a key counts, a tombstone removes it, a new reading replaces all."""
    latest = LatestRecords()
    latest.replace([record(b"a", b"1"), record(b"b", b"2")])
    latest.update([record(b"a", b"3"), record(b"b", None), record(b"c", None)])
    assert {key: each.value for key, each in latest.records.items()} == {"a": b"3"}
    assert latest.changed.is_set()
    latest.replace([record(b"d", b"4")])
    assert list(latest.records) == ["d"]


def test_foreign_keys():
    """Keys that are missing or not UTF-8 do no harm."""
    latest = LatestRecords()
    latest.update([record(None, b"1"), record(b"\xff", b"2")])
    assert len(latest.records) == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "no answer in 12 s"),
        (UnknownTopicOrPartitionError(), "the topic does not exist: run kis-bond topics init"),
        (TopicAuthorizationFailedError(), "Kafka does not permit it: grant this user Write on the topic"),
        (KafkaConnectionError("no route"), "KafkaConnectionError: no route"),
        (OSError(), "OSError"),
    ],
)
def test_reasons(error, said):
    """Each of Kafka's exceptions is described in words."""
    assert reason(error, "Write") == said


async def test_write_is_one_batch_in_order(kafka, topic_names):
    """Records and tombstones are written in order, and the first offset is returned."""
    settings = load(None, {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers})
    create_topics(kafka.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
    assert await kafka_access.write(settings, topic_names.control, [("a", b"1"), ("b", None)]) == 0
    many = [(f"k{number}", b"x" * 1000) for number in range(400)]
    assert await kafka_access.write(settings, topic_names.control, many) == 2
    found = read_all(kafka.bootstrap_servers, topic_names.control)
    assert [(each.key.decode(), each.value) for each in found] == [("a", b"1"), ("b", None), *many]
    assert sorted(await kafka_access.read(settings, topic_names.control)) == sorted(["a", *(key for key, _ in many)])


async def test_a_later_batch_that_is_refused(kafka, topic_names):
    """The message names the keys of the batches before it, and the keys not written."""
    settings = load(None, {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers})
    create_topics(
        kafka.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact", max_message_bytes="20000"
    )
    noise = random.Random(7).randbytes(60_000)  # no compression makes it small enough
    records = [*((f"k{number}", b"x" * 1000) for number in range(100)), ("big", noise), ("last", noise), ("last", None)]
    with pytest.raises(NotInTime) as failed:
        await kafka_access.write(settings, topic_names.control, records)
    first, *lines = str(failed.value).splitlines()
    assert "could not be written" in first
    assert lines == ["Written before that: k0, k1 and 98 more.", "Not written: big, last."]
    assert len(read_all(kafka.bootstrap_servers, topic_names.control)) == 100


async def test_a_batch_without_an_answer(kafka, topic_names, monkeypatch):
    """The message says that a batch without an answer may have been written."""
    make_producer = clients.make_producer

    def deaf(*arguments):
        producer = make_producer(*arguments)
        send_batch = producer.send_batch

        async def lost(*arguments, **options):
            await send_batch(*arguments, **options)
            return asyncio.get_running_loop().create_future()

        producer.send_batch = lost
        return producer

    monkeypatch.setattr(clients, "make_producer", deaf)
    monkeypatch.setattr(kafka_access, "PATIENCE_SECONDS", 2.0)
    settings = load(None, {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers})
    create_topics(kafka.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
    with pytest.raises(NotInTime) as failed:
        await kafka_access.write(
            settings, topic_names.control, [("a", b"1"), ("b", None), ("c", b"x" * 130_000), ("d", b"2" * 130_000)]
        )
    first, *lines = str(failed.value).splitlines()
    assert first.endswith("could not be written: no answer in 2 s")
    assert lines == ["May or may not be written: a, b, c.", "Not written: d."]


async def test_files_that_vanished_are_configuration(tmp_path):
    """A password file that vanished since the settings were read is a mistake of configuration."""
    password = tmp_path / "p"
    password.write_text("x")
    names = {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "PLAIN",
        "SASL_USERNAME": "u",
        "SASL_PASSWORD_FILE": str(password),
    }
    settings = load(None, {f"KIS_BOND_KAFKA__{name}": value for name, value in names.items()})
    password.unlink()
    with pytest.raises(ConfigurationError):
        await kafka_access.read(settings, "t")


async def test_kafka_that_is_silent(monkeypatch, unused_tcp_port_factory):
    """A broker that accepts the connection and never answers is given up after the patience."""
    monkeypatch.setattr(kafka_access, "PATIENCE_SECONDS", 1.0)
    stop = asyncio.Event()

    async def hold(_, writer):
        await stop.wait()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", unused_tcp_port_factory()) as server:
        port = server.sockets[0].getsockname()[1]
        settings = load(None, {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"})
        try:
            for question in (kafka_access.read(settings, "t"), kafka_access.write(settings, "t", [("a", b"1")])):
                with pytest.raises(NotInTime, match="no answer in 1 s"):
                    await question
        finally:
            stop.set()


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("127.0.0.1:1", "127.0.0.1:1 refused the connection: nothing listens there"),
        ("nowhere.invalid:9092", "the host nowhere.invalid is unknown: its name does not resolve"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ["topics", "init"],
        ["topics", "verify"],
        ["subs", "ls"],
        ["subs", "add", "KR103502GA34"],
        ["subs", "rm", "KR103502GA34"],
        ["subs", "watch"],
        ["tail"],
    ],
)
def test_each_command_names_the_cause(cli, command, place, cause):
    """Each command that cannot reach Kafka ends with 5 and says why in one sentence."""
    result = cli(*command, KAFKA__BOOTSTRAP_SERVERS=place)
    assert (result.exit_code, result.stdout) == (5, "")
    (line,) = result.stderr.splitlines()
    assert place in line
    assert line.endswith(cause)
