"""Tests of `kis-bond dlq`."""

import json

import pytest
from confluent_kafka import Producer

from connector.core.ticks import dead_letter
from connector.core.ticks.avro import BadTick, decode
from connector.core.ticks.frame import BadFrame, WireRecord
from tests.kafka.reader import QUIET, create_topics, read_all
from tests.shell.delivery.frames import ISINS, frame, record
from tests.shell.delivery.work import SCHEMA

NS = 1_795_148_263_000_000_001
TEXT = record(ISINS[1], accumulated=7)
BAD = record(ISINS[2], price="1e9")


def whole(*records, **more):
    """Return a frame received at NS."""
    return frame(*records, **more)._replace(received_ns=NS, slot=3)


@pytest.fixture
def letters(kafka, topic_names):
    """Publish two letters that are good by now, two bad ones, a part of one, and a stranger."""
    create_topics(kafka.bootstrap_servers, {topic_names.ticks: 2, topic_names.dead_letters: 1})
    of_record = [
        dead_letter.of_record(
            whole(), WireRecord(text.split("^"), text), BadTick("FIELD_NUMBER", "x", "STCK_PRPR", isin)
        )
        for text, isin in ((TEXT, ISINS[1]), (BAD, ISINS[2]))
    ]
    long = dead_letter.of_frame(whole(raw=b"x" * 20_000), BadFrame("FRAME_HEADER", "x"))
    several = [
        dead_letter.of_bug(whole(record(accumulated=8), record(accumulated=9)), ValueError()),
        *of_record,
        dead_letter.of_frame(whole(raw=b"9|nonsense"), BadFrame("FRAME_HEADER", "1 of the four parts")),
        dead_letter.forms(long, 1, 0)[-1],
    ]
    producer = Producer(QUIET | {"bootstrap.servers": kafka.bootstrap_servers})
    for one in several:
        producer.produce(topic_names.dead_letters, key=one.key, value=one.value, headers=one.headers)
    producer.produce(topic_names.dead_letters, value=b"stranger", headers=[("reason", b"BUG"), ("slot", None)])
    assert producer.flush(20) == 0
    return topic_names


def test_letters_are_listed(cli, variables, letters):
    """Each letter is a row with its place, time, reason, field, key and detail."""
    result = cli("dlq", "ls", **variables)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["place", "received", "(KST)", "reason", "field", "key", "detail"]
    assert lines[2].split() == ["0:1", "11-20", "13:17:43", "FIELD_NUMBER", "STCK_PRPR", ISINS[1], "x"]
    assert lines[-1] == "Dead letters: 6."


def test_letters_of_one_reason_as_json(cli, variables, letters):
    """With --json, each letter is a line of its own, whole."""
    result = cli("dlq", "ls", "--reason", "FRAME_HEADER", "--json", **variables)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert found[0] == {
        "partition": 0,
        "offset": 3,
        "key": None,
        "reason": "FRAME_HEADER",
        "field": None,
        "detail": "1 of the four parts",
        "received_ns": str(NS),
        "slot": "3",
        "value": "9|nonsense",
    }
    assert len(found) == 2


def test_what_is_good_is_sent_and_the_rest_is_left(cli, kafka, variables, letters):
    """Good letters become ticks as of their first receipt; bad ones are told by reason, with 5."""
    result = cli("dlq", "replay", "--json", **variables)
    assert result.exit_code == 5
    left = {"FIELD_NUMBER": 1, "FRAME_HEADER": 1, "NOT_WHOLE": 2}
    assert json.loads(result.stdout) == {"topic": letters.ticks, "letters": 6, "ticks": 3, "left": left}
    assert (
        f"Still bad, and left in {letters.dead_letters}: 1 FIELD_NUMBER, 1 FRAME_HEADER, 2 NOT_WHOLE." in result.stderr
    )
    ticks = [decode(one.value, SCHEMA) for one in read_all(kafka.bootstrap_servers, letters.ticks)]
    assert sorted((tick["ACML_VOL"], tick["source"]) for tick in ticks) == [(7, "replay"), (8, "replay"), (9, "replay")]
    assert {tick["received_at"].isoformat() for tick in ticks} == {"2026-11-20T04:17:43+00:00"}
    assert len(read_all(kafka.bootstrap_servers, letters.dead_letters)) == 6


def test_letters_of_one_reason_go_to_another_topic(cli, kafka, variables, letters):
    """Only the letters asked for are sent, and if none is bad the command ends with 0."""
    create_topics(kafka.bootstrap_servers, {f"{letters.ticks}.test": 1})
    span = ("--reason", "BUG", "--to-topic", f"{letters.ticks}.test")
    result = cli("dlq", "replay", *span, **variables)
    assert result.exit_code == 5, "the stranger is left"
    assert result.stdout == f"Sent to {letters.ticks}.test: 2 ticks of 2 dead letters.\n"
    assert len(read_all(kafka.bootstrap_servers, f"{letters.ticks}.test")) == 2
    nothing = cli("dlq", "replay", "--reason", "DECRYPT_FAILED", **variables)
    assert nothing.exit_code == 0, nothing.stderr
    assert nothing.stdout == f"Sent to {letters.ticks}: 0 ticks of 0 dead letters.\n"


def test_an_unknown_reason_ends_with_2(cli):
    """A mistyped reason is not taken for one without letters."""
    result = cli("dlq", "ls", "--reason", "FIELD_NUMBERS", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.exit_code == 2
    assert "'FIELD_NUMBERS' is none of FRAME_KIND, FRAME_NOT_UTF8" in result.stderr


def test_a_topic_of_other_records_ends_with_2(cli):
    """Ticks never go to the control topic."""
    result = cli("dlq", "replay", "--to-topic", "bond.subscriptions", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.exit_code == 2
    assert "is a topic of other records" in result.stderr


def test_without_kafka_the_command_ends_with_5(cli):
    """Kafka out of reach is named with its address."""
    result = cli("dlq", "ls", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.exit_code == 5
    assert "could not be read" in result.stderr
