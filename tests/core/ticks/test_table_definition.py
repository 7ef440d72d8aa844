"""Each engine's table has every field of the schema with its type, and a view in English."""

import json
import re

import pytest

from connector.core.ticks.avro import TickSchema, registry_prefix
from connector.core.ticks.table_definition import ENGINES, ENGLISH, Reach, table_definition
from connector.packaged_files import bond_tick
from tests.core.ticks.test_compatibility import COMPATIBLE, edited

SCHEMA = TickSchema(bond_tick())
REACH = Reach("it's a topic", "broker:9092", "http://registry:8081", registry_prefix(258))
TYPES = {
    "flink": {
        "STCK_PRPR": "DECIMAL(18, 4) NOT NULL",
        "BOND_ISNM": "STRING",
        "CNTG_VOL": "BIGINT NOT NULL",
        "PRDY_VOL": "BIGINT",
        "trade_date": "DATE NOT NULL",
        "traded_at": "TIMESTAMP(3) NOT NULL",
        "extra": "ARRAY<STRING NOT NULL> NOT NULL",
    },
    "clickhouse": {
        "STCK_PRPR": "Decimal(18, 4)",
        "BOND_ISNM": "Nullable(String)",
        "CNTG_VOL": "Int64",
        "PRDY_VOL": "Nullable(Int64)",
        "trade_date": "Date32",
        "traded_at": "DateTime64(3, 'UTC')",
        "extra": "Array(String)",
    },
    "duckdb": {
        "STCK_PRPR": "DECIMAL(18, 4) NOT NULL",
        "BOND_ISNM": "VARCHAR",
        "CNTG_VOL": "BIGINT NOT NULL",
        "tick_id": "VARCHAR PRIMARY KEY",
        "trade_date": "DATE NOT NULL",
        "traded_at": "TIMESTAMPTZ NOT NULL",
        "extra": "VARCHAR[] NOT NULL",
    },
}


def columns(text):
    """Return the types of the first table, by name and in order."""
    [body] = re.findall(r"CREATE TABLE bond_ticks \(\n(.*?)\n\)", text, re.DOTALL)
    return dict(re.findall(r'^  ["`](\w+)["`] (.*?),?$', body, re.MULTILINE))


@pytest.mark.parametrize("engine", TYPES)
def test_each_field_is_a_column_of_its_type(engine):
    """The columns are those of the schema, in its order; nullable ones may be null."""
    found = columns(table_definition(engine, SCHEMA, REACH))
    assert list(found) == [field["name"] for field in SCHEMA.parsed["fields"]]
    assert {name: found[name] for name in TYPES[engine]} == TYPES[engine]


def test_spark_reads_only_ticks_of_our_schema():
    """The prefix is compared and skipped, and the schema is a literal without apostrophes."""
    text = table_definition("spark", SCHEMA, REACH)
    assert "WHERE substring(value, 1, 5) = X'0000000102'" in text
    [literal] = re.findall(r"from_avro\(substring\(value, 6\), '([^']*)', map\('mode', 'FAILFAST'\)\)", text)
    assert TickSchema(literal).fingerprint == SCHEMA.fingerprint
    assert [re.search(r"tick.`(\w+)`", line)[1] for line in text.split("\n") if line.startswith("  tick.")] == [
        field["name"] for field in SCHEMA.parsed["fields"]
    ]
    single = table_definition("spark", SCHEMA, REACH._replace(registry_url=None, prefix=SCHEMA.single_object_prefix))
    assert f"= X'{SCHEMA.single_object_prefix.hex().upper()}'" in single
    assert "from_avro(substring(value, 11), " in single


@pytest.mark.parametrize("engine", ENGINES)
def test_the_view_has_an_english_name_for_each_field(engine):
    """KIS's columns are renamed, and our own fields keep their names."""
    view = table_definition(engine, SCHEMA, REACH).rpartition("bond_trades AS\nSELECT\n")[2].partition("\nFROM")[0]
    names = dict(re.findall(r'["`](\w+)["`] AS ["`](\w+)["`]', view))
    assert names == {field["name"]: ENGLISH.get(field["name"], field["name"]) for field in SCHEMA.parsed["fields"]}
    assert [names[name] for name in ("STND_ISCD", "BOND_ISNM", "STCK_PRPR", "BOND_CNTG_ERT", "CNTG_VOL")] == [
        "isin",
        "name",
        "price",
        "yield",
        "volume",
    ]


def test_every_column_of_kis_has_an_english_name_of_its_own():
    """The names are those of the schema's columns, and no two are the same."""
    assert list(ENGLISH) == [column["name"] for column in SCHEMA.columns]
    assert len(set(ENGLISH.values())) == len(ENGLISH)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_new_column_needs_no_change(engine):
    """A column that a later schema adds is in the table, and in the view in lower case."""
    text = table_definition(engine, TickSchema(edited(COMPATIBLE["a new column"])), REACH)
    assert re.search(r'["`]NEW["`] AS ["`]new["`]', text)


def test_where_the_ticks_are_is_quoted():
    """Topic, brokers and registry are those given, as SQL texts; the event time and key are set."""
    for engine in ("flink", "clickhouse", "spark"):
        text = table_definition(engine, SCHEMA, REACH)
        assert "'it''s a topic'" in text
        assert "'broker:9092'" in text
    flink = table_definition("flink", SCHEMA, REACH)
    assert "WATERMARK FOR traded_at AS traded_at - INTERVAL '30' SECOND" in flink
    assert "'key.fields' = 'STND_ISCD'" in flink
    assert "'value.avro-confluent.url' = 'http://registry:8081'" in flink


@pytest.mark.parametrize("engine", ["flink", "clickhouse"])
def test_without_a_registry_the_text_says_what_is_missing(engine):
    """The URL is then an example, and the first line says so."""
    text = table_definition(engine, SCHEMA, REACH._replace(registry_url=None))
    assert text.startswith("-- registry.url is not set")
    assert json.dumps("http://localhost:8081/apis/ccompat/v7").strip('"') in text
