"""The example for Python reads both framings, joins the status and fills DuckDB exactly."""

import sys
import uuid
from collections import Counter

import pytest
from confluent_kafka import Producer

from connector.core.ticks.avro import TickEncoder, TickSchema, registry_prefix
from connector.packaged_files import bond_tick, released_schemas
from tests.conftest import started
from tests.core.ticks.test_compatibility import COMPATIBLE, edited
from tests.examples import feed, programs
from tests.examples.conftest import REQUIRED
from tests.examples.windows import windows_of, wrong
from tests.kafka.reader import create_topics

FOLDER = programs.EXAMPLES / "python"


@pytest.fixture(params=["registry", "no registry"])
def run(request, example_feed, tmp_path):
    """Return what runs a program of the example outside the checkout, with each framing."""
    (tmp_path / "bond_tick.avsc").write_text(bond_tick())
    (tmp_path / "later.avsc").write_text(feed.NEW.text)
    topics = {
        "registry": ["--ticks", example_feed.framed, "--registry", example_feed.registry_url],
        "no registry": ["--ticks", example_feed.plain, "--schema", "bond_tick.avsc", "later.avsc"],
    }[request.param]
    places = ["--brokers", example_feed.bootstrap_servers, "--status", example_feed.status, *topics]
    return lambda name, *more: programs.lines([sys.executable, FOLDER / name, *places, *more], tmp_path)


def test_windows_are_exact(run, expected_windows):
    """Every window is right in every part, across copies, disorder and the new schema."""
    assert wrong(expected_windows, run("windows.py")) == {}


def test_every_tick_came_while_its_bond_was_active(run, example_feed):
    """A tick gets the state that its bond had when the tick was received."""
    trades = Counter(trade.isin for trade in example_feed.trades)
    assert run("status.py") == [f"{isin}|ACTIVE|{trades[isin]}" for isin in sorted(trades)]


@pytest.fixture(scope="session")
def duckdb():
    """Give the folder with DuckDB."""
    return started("DuckDB", lambda: programs.packages("python", "duckdb"), REQUIRED)


def test_duckdb_computes_the_same_in_the_printed_table(duckdb, example_feed, expected_windows, tmp_path):
    """The table and view that `schema ddl --for duckdb` prints hold every tick as it is."""
    ddl = programs.lines([sys.executable, "-m", "connector", "schema", "ddl", "--for", "duckdb"], tmp_path)
    (tmp_path / "bond_ticks.sql").write_text("\n".join(ddl))
    (tmp_path / "bond_tick.avsc").write_text(bond_tick())
    topics = ["--ticks", example_feed.framed, "--registry", example_feed.registry_url]
    command = [sys.executable, FOLDER / "duckdb_windows.py", "--brokers", example_feed.bootstrap_servers, *topics]
    assert wrong(expected_windows, programs.lines(command, tmp_path, PYTHONPATH=str(duckdb))) == {}


@pytest.mark.parametrize("has_registry", [True, False])
def test_a_reader_of_the_first_release_reads_three_schemas(example_feed, tmp_path, *, has_registry):
    """A reader with the schema 1.0.0 reads a topic that three schemas wrote."""
    schemas = [feed.OLD, feed.NEW, TickSchema(edited(COMPATIBLE["three new columns"]))]
    topic, trades = f"three-{uuid.uuid4().hex[:8]}", example_feed.trades[:30]
    create_topics(example_feed.bootstrap_servers, {topic: 1}, retention_ms="-1")
    producer = Producer({"bootstrap.servers": example_feed.bootstrap_servers})
    files = [tmp_path / f"{place}.avsc" for place in range(3)]
    for place, schema in enumerate(schemas):
        files[place].write_text(released_schemas()["1.0.0"] if place == 0 else schema.text)
        prefix = schema.single_object_prefix
        if has_registry:
            prefix = registry_prefix(feed.register(example_feed.registry_url, f"{topic}-value", schema.text))
        for trade in trades[place::3]:
            producer.produce(topic, feed.encoded(TickEncoder(schema, prefix), trade).value, trade.isin)
    assert producer.flush(30) == 0
    schema = ["--registry", example_feed.registry_url, "--schema", files[0]] if has_registry else ["--schema", *files]
    command = [sys.executable, FOLDER / "windows.py", "--brokers", example_feed.bootstrap_servers, "--ticks", topic]
    assert wrong(windows_of(trades), programs.lines([*command, *schema], tmp_path)) == {}
