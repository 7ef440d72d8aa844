"""Tests of the independent reader."""

import io
import time

import fastavro
import pytest
from confluent_kafka import Producer

from connector.cli.demo.reader import Reader, client_configuration
from connector.settings import KafkaSettings
from simulator.embedded_kafka import EmbeddedKafka
from tests.cli.test_tail import SCHEMA, A, B, tick


def framed(isin, number):
    """Return the value of one tick with its own tick_id, written by fastavro alone."""
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, SCHEMA.parsed, tick(isin, number) | {"tick_id": f"{number:032x}"})
    return SCHEMA.single_object_prefix + buffer.getvalue()


def reader_of(address):
    """Return a reader that is not started."""
    return Reader(KafkaSettings(bootstrap_servers=address), "ticks", SCHEMA)


def test_counts_each_tick_once():
    """The reader counts ticks, duplicates and bad records, and has each bond's latest tick."""
    reader = reader_of("127.0.0.1:1")
    for value in (framed(A, 1), framed(A, 2), framed(A, 1), framed(B, 3), b"nonsense", None):
        reader.count(value)
    assert (reader.distinct, reader.duplicates, reader.unreadable) == (3, 1, 2)
    assert reader.ticks == {A: 2, B: 1}
    assert {isin: found["CNTG_VOL"] for isin, found in reader.latest.items()} == {A: 2, B: 3}


def test_backfilled_ticks_are_counted_apart():
    """A tick with source rest was not sent by the feed, so that it is counted apart."""
    reader = reader_of("127.0.0.1:1")
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, SCHEMA.parsed, tick(A, 1) | {"tick_id": "f" * 32, "source": "rest"})
    for value in (framed(A, 1), SCHEMA.single_object_prefix + buffer.getvalue()):
        reader.count(value)
    assert (reader.distinct, reader.backfilled, reader.duplicates) == (1, 1, 0)


def test_the_tick_ids_are_bounded(monkeypatch):
    """The oldest tick_ids above the bound are dropped, so that memory stays bounded."""
    monkeypatch.setattr("connector.cli.demo.reader.MAX_TICK_IDS", 2)
    reader = reader_of("127.0.0.1:1")
    for number in (1, 2, 3, 1, 3):
        reader.count(framed(A, number))
    assert (reader.distinct, reader.duplicates) == (4, 1)


def test_reads_old_and_new_records():
    """All partitions are read from their first record and followed."""
    with EmbeddedKafka({"ticks": 3}) as kafka:
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        for number in range(30):
            producer.produce("ticks", framed(A, number), partition=number % 3)
        assert producer.flush(10) == 0
        with reader_of(kafka.bootstrap_servers) as reader:
            wait_for(lambda: reader.distinct == 30)
            producer.produce("ticks", framed(B, 99), partition=0)
            wait_for(lambda: reader.latest.get(B))
        assert (reader.distinct, reader.duplicates, reader.problem) == (31, 0, None)


def test_an_unreachable_kafka():
    """While no broker answers, the reader has a problem and can still be ended."""
    with reader_of("127.0.0.1:1") as reader:
        wait_for(lambda: reader.problem)


def wait_for(condition, seconds=60):
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["sasl.password", "ssl.ca.location", "sasl.username"])
def test_settings_without_a_value(name):
    """Settings without a value are left to librdkafka."""
    assert name not in client_configuration(KafkaSettings())
