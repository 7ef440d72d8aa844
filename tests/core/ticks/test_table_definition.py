"""Each engine's table has every field of the schema with its type, and a view in English."""

import json
import re

import pytest

from connector.core.ticks.avro import TickSchema, registry_prefix
from connector.core.ticks.table_definition import ENGINES, ENGLISH, Reach, Writer, table_definition
from connector.packaged_files import bond_tick
from tests.core.ticks.test_compatibility import COMPATIBLE, edited

SCHEMA = TickSchema(bond_tick())
LATER = TickSchema(edited(COMPATIBLE["a new column"]))
WRITERS = [Writer(registry_prefix(258), LATER.text), Writer(SCHEMA.single_object_prefix, SCHEMA.text)]
REACH = Reach("it's a topic", "broker:9092", "http://registry:8081", WRITERS)
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


def test_spark_reads_each_schema_as_ours():
    """A tick's first bytes choose the schema that wrote it; ours gives the columns."""
    text = table_definition("spark", SCHEMA, REACH)
    branches = re.findall(
        r"WHEN startswith\(value, X'(\w+)'\) THEN from_avro\(\n"
        r" +substring\(value, (\d+)\),\n +'(.*)',\n +map\('mode', 'FAILFAST', 'avroSchema', '(.*)'\)\)\n",
        text,
    )
    found = [
        (bytes.fromhex(prefix), int(start), TickSchema(writer).fingerprint, TickSchema(reader).fingerprint)
        for prefix, start, writer, reader in branches
    ]
    assert found == [
        (registry_prefix(258), 6, LATER.fingerprint, SCHEMA.fingerprint),
        (SCHEMA.single_object_prefix, 11, SCHEMA.fingerprint, SCHEMA.fingerprint),
    ]
    assert "\n      ELSE raise_error('A tick has a schema that is not in this table" in text
    assert [re.search(r"tick.`(\w+)`", line)[1] for line in text.split("\n") if line.startswith("  tick.")] == [
        field["name"] for field in SCHEMA.parsed["fields"]
    ]


def test_what_sparks_texts_would_take_for_an_escape_is_escaped():
    """A backslash and an apostrophe of a schema reach from_avro as they are."""
    odd = edited(lambda schema, fields: fields[1].update(aliases=["it's", 'a"b']))
    text = table_definition("spark", SCHEMA, REACH._replace(writers=[Writer(b"\0", odd)]))
    assert r""""aliases": ["it\'s", "a\\"b"]""" in text


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
    text = table_definition(engine, LATER, REACH)
    assert re.search(r'["`]NEW["`] AS ["`]new["`]', text)


def test_where_the_ticks_are_is_quoted():
    """Topic, brokers and registry are those given, as SQL texts; the event time and key are set."""
    topics = {"flink": "'it''s a topic'", "clickhouse": "'it''s a topic'", "spark": r"'it\'s a topic'"}
    for engine, topic in topics.items():
        text = table_definition(engine, SCHEMA, REACH)
        assert topic in text
        assert "'broker:9092'" in text
    flink = table_definition("flink", SCHEMA, REACH)
    assert "WATERMARK FOR traded_at AS traded_at - INTERVAL '30' SECOND" in flink
    assert "'key.fields' = 'STND_ISCD'" in flink
    assert "'value.avro-confluent.url' = 'http://registry:8081'" in flink


def test_clickhouse_is_given_one_registry():
    """Of several addresses, ClickHouse gets the first and Flink gets all."""
    reach = REACH._replace(registry_url="http://one,http://two")
    assert "format_avro_schema_registry_url = 'http://one';" in table_definition("clickhouse", SCHEMA, reach)
    assert "'value.avro-confluent.url' = 'http://one,http://two'" in table_definition("flink", SCHEMA, reach)


@pytest.mark.parametrize("engine", ["flink", "clickhouse"])
def test_without_a_registry_the_text_says_what_is_missing(engine):
    """The URL is then an example, and the first line says so."""
    text = table_definition(engine, SCHEMA, REACH._replace(registry_url=None))
    assert text.startswith("-- registry.url is not set")
    assert json.dumps("http://localhost:8081/apis/ccompat/v7").strip('"') in text
