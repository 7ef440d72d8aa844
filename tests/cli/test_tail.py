"""Tests of `kis-bond tail` with a real Kafka."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import fastavro
import pytest

from connector.cli.tail import Line, as_json
from connector.core.ticks.avro import TickSchema
from connector.packaged_files import bond_tick
from tests.kafka.reader import create_topics

A, B = "KR103502GA34", "KR103502GD31"
SCHEMA = TickSchema(bond_tick())


def tick(isin, volume=1):
    """Return the fields of one tick; most are null."""
    at = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    own = {
        "tick_id": "0" * 32,
        "trade_date": date(2026, 1, 2),
        "traded_at": at,
        "received_at": at,
        "source": "ws",
        "extra": [],
    }
    columns = {column["name"]: None for column in SCHEMA.columns}
    sent = {
        "STND_ISCD": isin,
        "STCK_CNTG_HOUR": "120405",
        "STCK_PRPR": Decimal("10126.5000"),
        "CNTG_VOL": volume,
        "ACML_VOL": 9,
    }
    return columns | sent | own


def framed(isin, volume=1, prefix=SCHEMA.single_object_prefix):
    """Return a Kafka value, written by fastavro alone."""
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, SCHEMA.parsed, tick(isin, volume))
    return prefix + buffer.getvalue()


@pytest.fixture
def topic(kafka, topic_names):
    """Create the tick topic with one partition, so that the order is known."""
    create_topics(kafka.bootstrap_servers, {topic_names.ticks: 1})
    return topic_names.ticks


def test_json_lines(cli, variables, produce, topic):
    """Both framings are decoded to all fields; a bad record has a line of its own."""
    produce(topic, A, framed(A))
    produce(topic, A, framed(A, prefix=b"\x00\x00\x00\x00\x07"))
    produce(topic, "odd", b"nonsense")
    produce(topic, None, None)
    result = cli("tail", "--from-beginning", "--count", "4", "--json", **variables)
    assert (result.exit_code, result.stderr) == (0, "")
    first, second, bad, empty = map(json.loads, result.stdout.splitlines())
    assert first == second
    assert set(first) == set(tick(A))
    assert (first["STCK_PRPR"], first["traded_at"], first["trade_date"]) == (
        "10126.5000",
        "2026-01-02T03:04:05.678000+00:00",
        "2026-01-02",
    )
    assert (bad["key"], bad["offset"]) == ("odd", 2)
    assert bad["bad"]
    assert empty["bad"]


def test_table_of_one_bond(cli, variables, produce, topic):
    """All rows are under one heading, and --isin leaves other bonds out."""
    for isin, volume in ((A, 111), (B, 222), (A, 333)):
        produce(topic, isin, framed(isin, volume))
    result = cli("tail", "--from-beginning", "--count", "2", "--isin", A, **variables)
    assert result.exit_code == 0
    heading, *rows = result.stdout.splitlines()
    assert heading.split()[0] == "traded"
    assert [row.split()[-3] for row in rows] == ["111", "333"]
    assert B not in result.stdout


def test_a_bad_record_in_the_table(cli, variables, produce, topic):
    """A bad record is shown with its place, and the ticks after it follow."""
    produce(topic, A, b"nonsense")
    produce(topic, A, framed(A))
    result = cli("tail", "--from-beginning", "--count", "2", **variables)
    assert result.exit_code == 0
    assert "bad record" in result.stdout
    assert "0:0" in result.stdout
    assert "10126.5000" in result.stdout


def test_a_malformed_isin(cli):
    """A malformed ISIN ends with 2 before Kafka is asked."""
    assert cli("tail", "--isin", "x", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1").exit_code == 2


def test_missing_topic(cli, variables):
    """Without the topic it ends with 5, and the message says how to create it."""
    result = cli("tail", **variables)
    assert (result.exit_code, result.stdout) == (5, "")
    assert "kis-bond topics init" in result.stderr


def test_kafka_away(cli):
    """If Kafka cannot be reached, it ends with 5 and names the address."""
    result = cli("tail", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (5, "")
    assert "127.0.0.1:1" in result.stderr


def test_a_bad_line_names_its_place():
    """The JSON of a bad record names its place and what is wrong."""
    assert json.loads(as_json(Line(3, 4, "k", None, "why"))) == {"bad": "why", "key": "k", "partition": 3, "offset": 4}
