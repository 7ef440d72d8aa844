"""The example for Spark survives a new schema, and computes, joins and writes exactly."""

import json
import sys
from collections import Counter

import pytest
from jsonschema import validate

from connector.core.lists.control_record import Wish, parse
from connector.core.ticks.table_definition import Reach, Writer, table_definition
from tests.conftest import started
from tests.examples import feed, java, programs
from tests.examples.conftest import REQUIRED, printed
from tests.examples.windows import wrong
from tests.kafka.reader import read_all
from tests.published import CONTROL

FOLDER = programs.EXAMPLES / "spark"
DDL = ("schema", "ddl", "--for", "spark")


@pytest.fixture(scope="session")
def spark():
    """Return what runs one of Spark's programs, and returns its lines."""
    packages = started("PySpark", lambda: programs.packages("spark", "pyspark", "py4j"), REQUIRED)
    jars = started("Spark's connectors", lambda: java.jars("spark"), REQUIRED)
    options = {
        "--master": "local[2]",
        "--driver-memory": "1g",
        "--jars": ",".join(map(str, sorted(jars.glob("*.jar")))),
        "--conf": "spark.sql.shuffle.partitions=2",
    }
    flat = [part for option in options.items() for part in option]

    def run(program, *arguments, cwd):
        command = [
            packages / "pyspark" / "bin" / program,
            *flat,
            "--conf",
            "spark.ui.enabled=false",
            "--conf",
            "spark.log.level=WARN",
            *arguments,
        ]
        environment = {
            "PYTHONPATH": str(packages),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_HOME": str(packages / "pyspark"),
            "SPARK_LOCAL_IP": "127.0.0.1",  # some machines do not know the address of their own name
        }
        return programs.lines(command, cwd, **environment)

    return run


@pytest.fixture
def windows(spark, example_feed, tmp_path):
    """Return what runs windows.py, or an edit of it, with a command that prints the tables."""

    def run(topic, tables, *, edits=(), batch=100_000):
        program = (FOLDER / "windows.py").read_text()
        for ours, other in edits:
            assert ours in program
            program = program.replace(ours, other)
        (tmp_path / "windows.py").write_text(program)
        places = ["--brokers", example_feed.bootstrap_servers, "--ticks", topic, "--tables", tables]
        lines = spark(
            "spark-submit", tmp_path / "windows.py", *places, "--checkpoint", tmp_path / "checkpoint",
            "--to-the-end", "--batch", batch, cwd=tmp_path,
        )  # fmt: skip
        # A window is printed each time that it changes.
        return list({tuple(line.split("|")[:2]): line for line in lines}.values())

    return run


@pytest.fixture
def tables(example_feed, tmp_path):
    """Return what writes the tables of some schemas, without a registry, into a file."""

    def write(name, schemas):
        writers = [Writer(schema.single_object_prefix, schema.text) for schema in schemas]
        reach = Reach(example_feed.plain, example_feed.bootstrap_servers, None, writers)
        (tmp_path / name).write_text(table_definition("spark", feed.SCHEMAS[0], reach))

    return write


def test_windows_are_exact(windows, example_feed, expected_windows, tmp_path):
    """Every window is right in every part, across copies, disorder and three schemas."""
    (tmp_path / "bond_ticks.sql").write_text(printed(example_feed, *DDL))
    assert wrong(expected_windows, windows(example_feed.framed, "cat bond_ticks.sql")) == {}


def test_a_query_goes_on_when_a_schema_is_new(windows, tables, example_feed, expected_windows, tmp_path):
    """A tick of an unknown schema ends the query; new tables continue it at its checkpoint."""
    tables("bond_ticks.sql", feed.SCHEMAS[:1])
    tables("later.sql", feed.SCHEMAS)
    printing = "sh -c 'cat bond_ticks.sql; cp later.sql bond_ticks.sql; echo >> printed'"
    assert wrong(expected_windows, windows(example_feed.plain, printing, batch=1_200)) == {}
    assert len((tmp_path / "printed").read_text()) > 1


@pytest.fixture(scope="module")
def answers(spark, example_feed, tmp_path_factory):
    """Give the rows of status.sql, of status.sql by traded_at, and of one schema for all ticks."""
    folder = tmp_path_factory.mktemp("spark-sql")
    (folder / "bond_ticks.sql").write_text(printed(example_feed, *DDL))
    status = (FOLDER / "status.sql").read_text()
    ours = {"'localhost:9092'": example_feed.bootstrap_servers, "'bond.subscriptions.status'": example_feed.status}
    for name, place in ours.items():
        assert name in status
        status = status.replace(name, f"'{place}'")
    by_second = status.replace("trade.received_at", "trade.traded_at")
    schema = json.dumps(feed.SCHEMAS[0].parsed).replace("'", "\\'")
    careless = f"""
        SELECT count(*), count_if(tick IS NULL OR tick.tick_id IS NULL), count_if(length(tick.tick_id) = 32)
        FROM (SELECT from_avro(substring(value, 6), '{schema}', map('mode', 'PERMISSIVE')) AS tick FROM bond_ticks_raw);
    """
    (folder / "query.sql").write_text(f"{status}SELECT 'next';\n{by_second}SELECT 'next';\n{careless}")
    in_memory = ["--conf", "spark.sql.catalogImplementation=in-memory"]
    lines = spark("spark-sql", *in_memory, "-S", "-i", "bond_ticks.sql", "-f", "query.sql", cwd=folder)
    return [rows.split("\n") for rows in "\n".join(lines).replace("\t", "|").split("\nnext\n")]


def test_every_tick_came_while_its_bond_was_active(answers, example_feed):
    """A tick gets the state that its bond had when the tick was received."""
    trades = Counter(trade.isin for trade in example_feed.trades)
    assert answers[0] == [f"{isin}|ACTIVE|{trades[isin]}" for isin in sorted(trades)]


def test_by_the_second_of_the_trade_first_ticks_come_too_early(answers):
    """By traded_at, which has whole seconds, the first tick of every bond is PENDING."""
    assert [row for row in answers[1] if "|PENDING|" in row] == [f"{isin}|PENDING|1" for isin in sorted(feed.BONDS)]


def test_one_schema_for_all_ticks_reads_only_its_own(answers, example_feed):
    """Ticks of another schema are nulls or nonsense, and only `mode` makes that an error."""
    [row] = answers[2]
    records, _, read = map(int, row.split("|"))
    assert records == example_feed.records
    assert read < 0.4 * records, row


def test_the_control_topic_is_written(spark, example_feed, tmp_path):
    """The connector accepts the list that Spark writes, as the published schema does."""
    places = ["--brokers", example_feed.bootstrap_servers, "--control", example_feed.control]
    spark("spark-submit", FOLDER / "control.py", *places, "KR103502GA34", "KR103502GD31", cwd=tmp_path)
    record = read_all(example_feed.bootstrap_servers, example_feed.control)[-1]
    assert record.key == b"spark-desk"
    validate(json.loads(record.value), CONTROL)
    wish = parse(record.key.decode(), record.value)
    assert isinstance(wish, Wish), wish
    assert (wish.instruments, wish.priority) == (("KR103502GA34", "KR103502GD31"), 7)


def test_first_and_last_and_copies_give_wrong_windows(windows, example_feed, expected_windows, tmp_path):
    """Open and close need the order of the trades, and volumes need each tick once."""
    (tmp_path / "bond_ticks.sql").write_text(printed(example_feed, *DDL))
    careless = [
        ('sf.min_by("price", order)', 'sf.first("price")'),
        ('sf.max_by("price", order)', 'sf.last("price")'),
        ('.dropDuplicatesWithinWatermark(["tick_id"])', ""),
    ]
    found = wrong(expected_windows, windows(example_feed.framed, "cat bond_ticks.sql", edits=careless))
    assert found.keys() == {"open", "close", "volume", "trades", "notional"}
