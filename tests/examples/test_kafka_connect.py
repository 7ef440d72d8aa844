"""The example for Kafka Connect writes every tick into a file, exactly as it was."""

import re
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.conftest import started
from tests.examples import java
from tests.examples.conftest import REQUIRED
from tests.kafka.process import Server, free_ports

FOLDER = java.EXAMPLES / "kafka-connect"
SECONDS = 150


@pytest.fixture(scope="session")
def lines(example_feed, tmp_path_factory):
    """Give the lines of the file once each record of the topic has one."""
    jars = started("Kafka Connect", lambda: java.jars("kafka-connect"), REQUIRED)
    folder = tmp_path_factory.mktemp("connect")
    [port] = free_ports(1)
    for name in ("worker.properties", "file-sink.properties"):
        text = (FOLDER / name).read_text()
        for theirs, ours in (
            ("localhost:9092", example_feed.bootstrap_servers),
            ("http://localhost:8081", example_feed.registry_url.partition("/apis")[0]),
            ("127.0.0.1:8083", f"127.0.0.1:{port}"),
            ("topics=bond.ticks", f"topics={example_feed.framed}"),
        ):
            text = text.replace(theirs, ours)
        (folder / name).write_text(text)
    program = "org.apache.kafka.connect.cli.ConnectStandalone"
    command = java.command([jars / "*"], program, ["worker.properties", "file-sink.properties"])
    server, file = Server(command, folder / "log", cwd=folder), folder / "ticks.txt"
    server.start()
    deadline = time.monotonic() + SECONDS
    try:
        while not file.exists() or len(file.read_text().splitlines()) < example_feed.records:
            assert server.is_running, server.last_output()
            assert time.monotonic() < deadline, server.last_output()
            time.sleep(0.1)
    finally:
        server.stop()
    return file.read_text().splitlines()


def read(line):
    """Return the columns of a line."""
    return dict(re.findall(r"(\w+)=([^,}]*)", line))


def test_every_record_is_a_line(lines, example_feed):
    """Copies are lines too: a sink that knows keys would replace them by `tick_id`."""
    assert len(lines) == example_feed.records
    assert len({read(line)["tick_id"] for line in lines}) == len(example_feed.trades)


def test_every_tick_is_exact(lines, example_feed):
    """Prices keep their scale and times are UTC, across three schemas."""
    written = {read(line)["tick_id"]: read(line) for line in lines}.values()
    found = {
        (
            tick["STND_ISCD"],
            tick["trade_date"],
            datetime.strptime(tick["traded_at"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC),
            Decimal(tick["STCK_PRPR"]),
            int(tick["CNTG_VOL"]),
            int(tick["ACML_VOL"]),
        )
        for tick in written
    }
    assert found == {
        (one.isin, "2026-01-05", one.second, one.price, one.volume, one.day_volume) for one in example_feed.trades
    }
    assert {len(tick["STCK_PRPR"].partition(".")[2]) for tick in written} == {4}
