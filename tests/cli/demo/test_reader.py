"""The independent reader."""

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
    """Return the value of one tick with an identity of its own, written by fastavro alone."""
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, SCHEMA.parsed, tick(isin, number) | {"tick_id": f"{number:032x}"})
    return SCHEMA.single_object_prefix + buffer.getvalue()


def reader_of(address):
    """Return a reader, not started."""
    return Reader(KafkaSettings(bootstrap_servers=address), "ticks", SCHEMA)


def test_counts_each_tick_once():
    """Copies of a tick_id are duplicates, what is no tick is unreadable, and the latest tick of each bond is at hand."""
    reader = reader_of("127.0.0.1:1")
    for value in (framed(A, 1), framed(A, 2), framed(A, 1), framed(B, 3), b"nonsense", None):
        reader.take(value)
    assert (reader.distinct, reader.duplicates, reader.unreadable) == (3, 1, 2)
    assert reader.ticks == {A: 2, B: 1}
    assert {isin: found["CNTG_VOL"] for isin, found in reader.latest.items()} == {A: 2, B: 3}


def test_remembers_no_more_than_it_should(monkeypatch):
    """Identities older than the bound are forgotten, so that a long run does not fill the memory."""
    monkeypatch.setattr("connector.cli.demo.reader.REMEMBERED_TICKS", 2)
    reader = reader_of("127.0.0.1:1")
    for number in (1, 2, 3, 1, 3):
        reader.take(framed(A, number))
    assert (reader.distinct, reader.duplicates) == (4, 1)


def test_reads_what_was_there_before_and_what_follows():
    """All partitions are read from their first record on and followed."""
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


def test_a_kafka_out_of_reach_is_told():
    """While no broker answers the reader says so, and it ends all the same."""
    with reader_of("127.0.0.1:1") as reader:
        wait_for(lambda: reader.problem)


def wait_for(condition, seconds=20):
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_configuration(tmp_path):
    """TLS and SASL settings reach librdkafka under its names, a password without the file's newline."""
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "ca.pem").write_text("")
    kafka = KafkaSettings(
        bootstrap_servers="a:1,b:2",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="me",
        sasl_password_file=tmp_path / "password",
        ssl_ca_file=tmp_path / "ca.pem",
    )
    found = client_configuration(kafka)
    assert found["bootstrap.servers"] == "a:1,b:2"
    assert (found["security.protocol"], found["sasl.mechanism"], found["sasl.username"]) == (
        "SASL_SSL",
        "SCRAM-SHA-512",
        "me",
    )
    assert found["sasl.password"] == "secret"
    assert found["ssl.ca.location"] == str(tmp_path / "ca.pem")
    assert "ssl.key.location" not in found


@pytest.mark.parametrize("name", ["sasl.password", "ssl.ca.location", "sasl.username"])
def test_what_is_not_set_is_left_out(name):
    """Settings that are not given are left to librdkafka."""
    assert name not in client_configuration(KafkaSettings())
