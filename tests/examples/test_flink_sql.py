"""The example for Flink SQL reads, joins and writes exactly what its README says."""

import json
import re
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from jsonschema import validate

from connector.core.lists.control_record import Wish, parse
from tests.conftest import started
from tests.examples import feed, java
from tests.examples.conftest import REQUIRED, printed
from tests.examples.windows import wrong
from tests.kafka.reader import read_all
from tests.published import CONTROL

FOLDER = java.EXAMPLES / "flink-sql"
TO_THE_END = """
ALTER TABLE {table} SET ('scan.bounded.mode' = 'latest-offset');
"""


@pytest.fixture(scope="session")
def flink():
    """Give the folder with Flink's jars."""
    return started("Flink", lambda: java.jars("flink-sql"), REQUIRED)


@pytest.fixture
def run_sql(flink, example_feed, tmp_path):
    """Return what runs SQL files and statements after the printed table of ticks."""

    def run(*parts):
        texts = [
            printed(example_feed, "schema", "ddl", "--for", "flink"),
            TO_THE_END.format(table="bond_ticks"),
            *parts,
        ]
        ours = {
            "'localhost:9092'": f"'{example_feed.bootstrap_servers}'",
            "'http://localhost:8081/apis/ccompat/v7'": f"'{example_feed.registry_url}'",
            "'bond.ticks.latest'": f"'{example_feed.latest}'",
            "'bond.subscriptions.status'": f"'{example_feed.status}'",
            "'bond.subscriptions'": f"'{example_feed.control}'",
        }
        for place, text in enumerate(texts):
            placed = re.sub("|".join(ours), lambda found: ours[found[0]], text)
            (tmp_path / f"{place}.sql").write_text(placed)
        files = [f"{place}.sql" for place in range(len(texts))]
        return java.run(flink, str(FOLDER / "RunSql.java"), files, tmp_path)

    return run


def sql(name):
    """Return a file of the example."""
    return (FOLDER / name).read_text()


def test_windows_are_exact(run_sql, expected_windows):
    """Every window is right in every part, across copies, disorder and three schemas."""
    assert wrong(expected_windows, run_sql(sql("windows.sql"), "SELECT * FROM windows;\n")) == {}


def test_every_tick_is_joined_to_the_status_it_had(run_sql, example_feed):
    """By the time of receipt every tick finds ACTIVE; by traded_at, the first ones do not."""
    status = sql("status.sql")
    by_receipt = run_sql(
        status, TO_THE_END.format(table="bond_status"), "SELECT tick_id, state FROM ticks_with_status;\n"
    )
    assert Counter(line.partition("|")[2] for line in by_receipt) == {"ACTIVE": example_feed.records}
    by_second = status.replace("CAST(received_at AS", "CAST(traded_at AS")
    assert by_second != status
    lines = run_sql(
        by_second, TO_THE_END.format(table="bond_status"), "SELECT tick_id, state FROM ticks_with_status;\n"
    )
    counts = Counter(line.partition("|")[2] for line in lines)
    assert counts.total() == example_feed.records
    assert counts["ACTIVE"] <= example_feed.records - len(feed.BONDS)


def test_each_bond_has_its_state_and_its_latest_price(run_sql, example_feed):
    """The topic of latest values is a table with one row for each bond."""
    bounded = [TO_THE_END.format(table=table) for table in ("bond_status", "bond_latest")]
    lines = run_sql(sql("status.sql"), sql("latest.sql"), *bounded, "SELECT isin, state, price FROM bonds_now;\n")
    # A row that changes comes again, and last as it is at the end.
    now = {isin: (state, Decimal(price)) for isin, state, price in (line.split("|") for line in lines)}
    assert now == {isin: ("ACTIVE", price) for isin, price in example_feed.latest_prices.items()}


def test_the_control_topic_is_written(run_sql, example_feed):
    """The connector accepts the list that Flink inserts, as the published schema does."""
    run_sql(sql("control.sql"))
    [record] = read_all(example_feed.bootstrap_servers, example_feed.control)
    assert record.key == b"flink-desk"
    validate(json.loads(record.value), CONTROL)
    wish = parse(record.key.decode(), record.value)
    assert isinstance(wish, Wish), wish
    assert (wish.instruments, wish.priority) == (("KR103502GA34", "KR103502GD31"), 7)


def test_the_traps_of_the_readme_are_real(run_sql, example_feed, expected_windows):
    """What the README warns of gives wrong windows, prices, nulls and times here."""
    windows = sql("windows.sql")
    for name, function in (("MIN", "FIRST_VALUE"), ("MAX", "LAST_VALUE")):
        windows = windows.replace(f"CAST(SUBSTRING({name}(ranked) FROM 20) AS DECIMAL(18, 4))", f"{function}(price)")
    table = printed(example_feed, "schema", "ddl", "--for", "flink").partition("\n\nCREATE VIEW")[0]
    careless = (
        table.replace("CREATE TABLE bond_ticks", "CREATE TABLE careless")
        .replace("`STCK_PRPR` DECIMAL(18, 4)", "`STCK_PRPR` DECIMAL(10, 2)")
        .replace("`BOND_ISNM`", "`bond_isnm`")
    )
    lines = run_sql(
        windows,
        "SELECT * FROM windows;\n",
        careless,
        TO_THE_END.format(table="careless"),
        "SET 'table.local-time-zone' = 'Asia/Seoul';\n",
        "SELECT 'careless', STCK_PRPR, bond_isnm, traded_at, CAST(traded_at AS TIMESTAMP_LTZ(3)) FROM careless;\n",
    )
    found = wrong(expected_windows, [line for line in lines if not line.startswith("careless")])
    assert found.keys() == {"open", "close"}
    assert min(found.values()) > 10
    rows = [line.split("|")[1:] for line in lines if line.startswith("careless")]
    assert min(Decimal(price) for price, *_ in rows) > 900_000, "a price of about 10,000, a hundred times too large"
    assert {name for _, name, *_ in rows} == {"null"}
    for _, _, utc, instant in rows:
        assert datetime.fromisoformat(f"{utc}Z") - datetime.fromisoformat(instant) == timedelta(hours=9)
