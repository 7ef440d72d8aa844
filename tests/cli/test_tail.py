"""Tests of `kis-bond tail` with a real Kafka."""

import asyncio
import io
import json
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

import fastavro
import pytest
from confluent_kafka import Producer

from connector.cli.output import print_line
from connector.core.ticks.avro import TickSchema
from connector.packaged_files import bond_tick
from simulator.embedded_kafka import EmbeddedKafka
from tests.kafka.reader import QUIET, create_topics
from tests.shell.kafka.stamps import write_with_stamps

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
    assert [row.split()[5] for row in rows] == ["111", "333"]
    assert [row for row in result.stdout.splitlines() if row != row.rstrip()] == []
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
    """A malformed ISIN or a wrong check digit ends with 2 before Kafka is asked."""
    assert cli("tail", "--isin", "x", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1").exit_code == 2
    result = cli("tail", "--isin", "KR103502GA35", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.exit_code == 2
    assert result.stderr == ("KR103502GA35 is not an ISIN: its check digit is wrong, KR103502GA34 would be right.\n")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--last", "1", "--from-beginning"], "Give one of --from-beginning, --last and --since."),
        (["--dead-letters", "--events"], "Give one of --dead-letters and --events."),
        (["--since", "noon"], "--since: 'noon' is not a time, such as"),
        (["--columns", "price"], "--columns: there is no column price: choose from STND_ISCD, BOND_ISNM"),
    ],
)
def test_options_that_make_no_sense(cli, options, problem):
    """Options that contradict each other or name nothing end with 2 before Kafka is asked."""
    result = cli("tail", *options, KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(problem)


def test_the_last_ticks_of_a_bond(cli, variables, produce, topic):
    """--last counts the ticks of the chosen bond, however far back they are."""
    for isin, volume in ((A, 111), (A, 222), *((B, 9) for _ in range(30)), (A, 333)):
        produce(topic, isin, framed(isin, volume))
    result = cli("tail", "--last", "2", "--isin", A, "--count", "2", "--json", **variables)
    assert [json.loads(line)["CNTG_VOL"] for line in result.stdout.splitlines()] == [222, 333]


def test_what_follows_the_last_ticks_is_shown_once(cli, variables, produce, topic, monkeypatch):
    """After the last ticks, tail goes on with the next, and prints none twice."""
    said = []
    for volume in (1, 2):
        produce(topic, A, framed(A, volume))

    def print_and_go_on(line):
        said.append(line)
        print_line(line)
        if len(said) == 1:
            produce(topic, A, framed(A, 3))

    monkeypatch.setattr("connector.cli.tail.print_line", print_and_go_on)
    result = cli("tail", "--last", "1", "--count", "2", "--json", **variables)
    assert [json.loads(line)["CNTG_VOL"] for line in result.stdout.splitlines()] == [2, 3]


def test_ticks_since_a_time(cli, variables, produce, topic):
    """--since begins with the first record that is not older than the time."""
    produce(topic, A, framed(A, 1))
    time.sleep(1.1)
    since = datetime.now(UTC).isoformat(timespec="milliseconds")
    produce(topic, A, framed(A, 2))
    for begin, volume in ((since, 2), ("1960-01-01T00:00:00Z", 1)):
        result = cli("tail", "--since", begin, "--count", "1", "--json", **variables)
        assert [json.loads(line)["CNTG_VOL"] for line in result.stdout.splitlines()] == [volume]


@pytest.fixture
def produced(variables, produce, topic):
    """Give the variables of a topic that holds two ticks, and a function that adds one."""
    for volume in (1, 2):
        produce(topic, A, framed(A, volume))
    return variables, lambda: produce(topic, A, framed(A, 3))


@pytest.mark.parametrize(
    ("options", "there"),
    [(["--since", "2026-01-01T00:00:00Z"], 2), (["--from-beginning"], 2), (["--last", "1"], 1), ([], 0)],
)
def test_what_is_there_is_shown_before_it_waits(produced, cli, monkeypatch, options, there):
    """It says that it waits only after it has shown the records that are there."""
    said, (variables, produce_one) = [], produced

    def remark(line):
        said.append(line)
        if line.startswith("Waiting"):
            produce_one()

    monkeypatch.setattr("connector.cli.tail.remark", remark)
    monkeypatch.setattr("connector.cli.tail.print_line", said.append)
    result = cli("tail", *options, "--count", str(there + 1), "--json", **variables)
    assert result.exit_code == 0
    assert [line.split()[0] for line in said] == ['{"STND_ISCD":'] * there + ["Waiting", "kis-bond", '{"STND_ISCD":']


def test_ticks_since_a_time_from_the_demos_broker(cli):
    """A broker that looks up no times gives the same ticks, and none that is older."""
    with EmbeddedKafka({"bond.ticks": 2}) as broker:
        producer = Producer(QUIET | {"bootstrap.servers": broker.bootstrap_servers})
        for second in range(6):
            producer.produce("bond.ticks", framed(A, second), A, second % 2, timestamp=(1_800_000_000 + second) * 1000)
        producer.flush(20)
        since = datetime.fromtimestamp(1_800_000_003, UTC).isoformat()
        servers = broker.bootstrap_servers
        result = cli("tail", "--since", since, "--count", "3", "--json", KAFKA__BOOTSTRAP_SERVERS=servers)
    assert sorted(json.loads(line)["CNTG_VOL"] for line in result.stdout.splitlines()) == [3, 4, 5]


@pytest.fixture
def partly_stamped():
    """Give a broker with ticks of the volumes 1 to 6, received in these seconds.

    Odd ones have timestamps, and lie in another partition than 4 and 6.
    """
    with EmbeddedKafka({"bond.ticks": 2}) as broker:
        arguments = {"bootstrap_servers": broker.bootstrap_servers}
        asyncio.run(
            write_with_stamps(arguments, "bond.ticks", partial(framed, A), {1: 0, 2: 0, 3: 0, 4: 1, 5: 0, 6: 1})
        )
        yield broker


@pytest.mark.parametrize(
    ("options", "volumes"),
    [(["--last", "2"], [5, 6]), (["--last", "3"], [4, 5, 6])]
    + [(["--since", datetime.fromtimestamp(begin, UTC).isoformat()], [*range(begin, 7)]) for begin in (3, 6)],
)
def test_ticks_without_timestamps_count_by_their_receive_times(partly_stamped, cli, options, volumes):
    """Kafka takes some ticks only without a timestamp; they are not older than all others."""
    options += ["--count", str(len(volumes)), "--json"]
    result = cli("tail", *options, KAFKA__BOOTSTRAP_SERVERS=partly_stamped.bootstrap_servers)
    assert sorted(json.loads(line)["CNTG_VOL"] for line in result.stdout.splitlines()) == volumes


def test_other_topics(kafka, cli, variables, produce, topic_names):
    """--dead-letters and --events show the records of these topics, and --raw shows any whole."""
    create_topics(kafka.bootstrap_servers, {topic_names.dead_letters: 1, topic_names.events: 1})
    produce(topic_names.dead_letters, A, "what^KIS^sent")
    event = {"event": "session_down", "at": "x", "slot": 0, "instrument": None, "detail": {"cause": "closed"}}
    produce(topic_names.events, "slot/0", json.dumps(event))
    letters = cli("tail", "--dead-letters", "--last", "1", "--count", "1", **variables)
    assert A in letters.stdout.splitlines()[1]
    events = cli("tail", "--events", "--last", "1", "--count", "1", **variables)
    assert events.stdout.split()[2:] == ["session_down", "slot/0", "cause", "closed"]
    assert json.loads(cli("tail", "--events", "--last", "1", "-n", "1", "--json", **variables).stdout) == event
    raw = json.loads(cli("tail", "--dead-letters", "--raw", "--last", "1", "-n", "1", **variables).stdout)
    assert (raw["key"], raw["value"], raw["offset"]) == (A, "what^KIS^sent", 0)


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
