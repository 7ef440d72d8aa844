"""The example for Kafka Streams makes and joins exactly what its README says."""

import time
from io import BytesIO

import fastavro
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.conftest import started
from tests.examples import feed, java
from tests.examples.conftest import REQUIRED
from tests.examples.windows import wrong
from tests.kafka.process import Server
from tests.kafka.reader import create_topics, read_all

FOLDER = java.EXAMPLES / "kafka-streams"
WINDOW = fastavro.schema.load_schema(FOLDER / "src" / "main" / "avro" / "window.avsc")
SECONDS = 150
PARTS = ("isin", "start", "open", "high", "low", "close", "volume", "trades", "notional")


@pytest.fixture(scope="session")
def windows(example_feed, tmp_path_factory):
    """Give the windows that the program wrote by the time it had read every tick."""
    path = started("Kafka Streams", lambda: java.compiled("kafka-streams"), REQUIRED)
    folder = tmp_path_factory.mktemp("streams")
    written = f"{example_feed.framed}-windows"
    create_topics(example_feed.bootstrap_servers, {written: 1}, retention_ms="-1")
    text = (FOLDER / "windows.properties").read_text()
    for theirs, ours in (
        ("=bond-windows", f"={written}"),
        ("localhost:9092", example_feed.bootstrap_servers),
        ("http://localhost:8081", example_feed.registry_url.partition("/apis")[0]),
        ("=bond.ticks.latest", f"={example_feed.latest}"),
        ("=bond.ticks", f"={example_feed.framed}"),
        ("=bond.subscriptions.status", f"={example_feed.status}"),
        ("=bond.windows", f"={written}"),
    ):
        assert theirs in text
        text = text.replace(f"{theirs}\n", f"{ours}\n").replace(f"{theirs}/", f"{ours}/")
    (folder / "windows.properties").write_text(text)
    server = Server(java.command(path, "bonds.Windows", ["windows.properties"]), folder / "log", cwd=folder)
    server.start()
    try:
        wait_until_read(example_feed, written, server)
    finally:
        server.stop()
    records = read_all(example_feed.bootstrap_servers, written)
    return [decoded(value) for value in {one.key: one.value for one in records}.values()]


def wait_until_read(example_feed, group, server):
    """Return once a group has committed the ends of the topic of ticks."""
    topic, deadline = example_feed.framed, time.monotonic() + SECONDS
    consumer = Consumer({"bootstrap.servers": example_feed.bootstrap_servers, "group.id": group})
    partitions = [TopicPartition(topic, number) for number in range(feed.PARTITIONS)]
    ends = [consumer.get_watermark_offsets(each, timeout=30)[1] for each in partitions]
    while committed(consumer, partitions) != ends:
        assert server.is_running, server.last_output()
        assert time.monotonic() < deadline, server.last_output()
        time.sleep(0.1)
    consumer.close()


def committed(consumer, partitions):
    """Return the offsets of a group; none while its coordinator is not known."""
    try:
        return [max(0, each.offset) for each in consumer.committed(partitions, timeout=30)]
    except KafkaException:
        return None


def decoded(value):
    """Return a window that the program wrote in single-object encoding."""
    assert value[:2] == b"\xc3\x01"
    return fastavro.schemaless_reader(BytesIO(value[10:]), WINDOW)


def test_windows_are_exact(windows, expected_windows):
    """Every window is right in every part, across copies, disorder and three schemas."""
    lines = ["|".join(str(window[part]) for part in PARTS) for window in windows]
    assert wrong(expected_windows, lines) == {}


def test_windows_have_the_bonds_state_and_latest_price(windows, example_feed):
    """The two global tables hold the end of their topics, and are joined to every window."""
    joined = {(window["isin"], window["state"], window["latest"]) for window in windows}
    assert joined == {(isin, "ACTIVE", price) for isin, price in example_feed.latest_prices.items()}
