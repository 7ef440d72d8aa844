"""Tests of `kis-bond replay`."""

import json
from pathlib import Path

import pytest

from connector.core.ticks.avro import decode
from connector.shell.recordings import writing
from tests.kafka.reader import create_topics, read_all
from tests.shell.delivery.frames import ISINS, frame, record
from tests.shell.delivery.work import SCHEMA

TWO = 1_772_427_600 * 10**9  # 2026-03-02T14:00:00 in Seoul


@pytest.fixture
def recording(tmp_path):
    """Return a recording of 20 good frames, one a minute from two on, and one bad frame."""
    path = tmp_path / "day.jsonl.gz"
    with writing(path) as add:
        for minute in range(20):
            add(frame(record(ISINS[minute % 8], accumulated=minute))._replace(received_ns=TWO + minute * 60 * 10**9))
        add(frame(raw=b"9|nonsense")._replace(received_ns=TWO + 20 * 60 * 10**9))
    return str(path)


def replayed(variables, topic):
    """Return the ticks in a topic."""
    return [decode(one.value, SCHEMA) for one in read_all(variables["KAFKA__BOOTSTRAP_SERVERS"], topic)]


@pytest.fixture
def test_topic(variables, topic_names):
    """Return a topic for ticks that is not that of live ticks."""
    create_topics(variables["KAFKA__BOOTSTRAP_SERVERS"], {f"{topic_names.ticks}.test": 2})
    return f"{topic_names.ticks}.test"


def test_a_recording_is_sent_and_bad_frames_are_counted(cli, variables, recording, test_topic):
    """Ticks reach the topic; what cannot be decoded is told and goes nowhere."""
    result = cli("replay", recording, "--to-topic", test_topic, "--speed", "max", **variables)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"Sent to {test_topic}: 20 ticks of 21 frames.",
        "Dead letters with reason FRAME_HEADER, only counted: 1.",
    ]
    ticks = replayed(variables, test_topic)
    assert sorted(tick["ACML_VOL"] for tick in ticks) == list(range(20))
    assert {tick["trade_date"].isoformat() for tick in ticks} == {"2026-03-02"}


def test_a_part_is_sent(cli, variables, recording, test_topic):
    """An hour without a date is of the recording's day in Seoul; the end is not included."""
    span = ("--from", "14:05", "--to", "2026-03-02T05:08:00Z")
    result = cli("replay", recording, "--to-topic", test_topic, "--speed", "max", "--json", *span, **variables)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {"topic": test_topic, "frames": 3, "ticks": 3, "dead_letters": {}}
    assert sorted(tick["ACML_VOL"] for tick in replayed(variables, test_topic)) == [5, 6, 7]


def test_the_topic_of_live_ticks_needs_yes(cli, recording):
    """Without --yes, nothing is read or sent; with it, Kafka is asked."""
    refused = cli("replay", recording, "--to-topic", "bond.ticks")
    assert refused.exit_code == 2
    assert "Give another topic, or --yes" in refused.stderr
    away = {"KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    allowed = cli("replay", recording, "--to-topic", "bond.ticks", "--yes", **away)
    assert allowed.exit_code == 5
    assert "Kafka at 127.0.0.1:1 could not be asked" in allowed.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--to-topic", "bond.subscriptions"), "is a topic of other records"),
        (("--to-topic", "t", "--dead-letters-to", "t"), "is a topic of ticks"),
        (("--to-topic", "t", "--dead-letters-to", "bond.ticks"), "is a topic of ticks"),
        (("--to-topic", "t", "--speed", "fast"), "--speed 'fast' is neither max nor a number"),
        (("--to-topic", "t", "--speed", "nan"), "--speed 'nan' is neither"),
        (("--to-topic", "t", "--speed", "0"), "--speed '0' is neither"),
        (("--to-topic", "t", "--from", "noon"), "'noon' is not a time"),
    ],
)
def test_a_malformed_request_ends_with_2(cli, recording, arguments, says):
    """The sentence says what is wrong before Kafka is asked."""
    result = cli("replay", recording, *arguments, KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.exit_code == 2
    assert says in result.stderr


def test_ticks_of_a_recording_do_not_go_to_the_latest_values(cli, recording):
    """A replay would move that topic back in time."""
    result = cli("replay", recording, "--to-topic", "latest", TOPICS__LATEST="latest")
    assert (result.exit_code, "latest is a topic of other records" in result.stderr) == (2, True)


def test_a_damaged_recording_sends_nothing(cli, tmp_path, recording):
    """The whole file is checked first, so a cut file ends with 2 even without a Kafka."""
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(Path(recording).read_bytes()[:-20])
    result = cli("replay", str(cut), "--to-topic", "t", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.exit_code == 2
    assert "was cut off" in result.stderr
