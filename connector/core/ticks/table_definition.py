"""Writes the definition of a table of ticks for a query engine, from the Avro schema."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from connector.core.ticks.avro import TickSchema

ENGINES: Final = ("flink", "spark", "clickhouse", "duckdb")
TABLE: Final = "bond_ticks"
VIEW: Final = "bond_trades"
LATE_SECONDS: Final = 30  # after an outage, ticks come as late as it was long
IDLE_SECONDS: Final = 60  # a partition without trades holds up the event time for so long
UNSET_REGISTRY: Final = "http://localhost:8081/apis/ccompat/v7"
LONGEST_PREFIX: Final = 10  # of single-object encoding
UNKNOWN_TO_SPARK: Final = "A tick has a schema that is not in this table: print it again with kis-bond schema ddl"

# A column that is not here keeps KIS's name, in lower case.
ENGLISH: Final[Mapping[str, str]] = {
    "STND_ISCD": "isin",
    "BOND_ISNM": "name",
    "STCK_CNTG_HOUR": "trade_time",
    "PRDY_VRSS_SIGN": "change_sign",
    "PRDY_VRSS": "change",
    "PRDY_CTRT": "change_percent",
    "STCK_PRPR": "price",
    "CNTG_VOL": "volume",
    "STCK_OPRC": "open_price",
    "STCK_HGPR": "high_price",
    "STCK_LWPR": "low_price",
    "STCK_PRDY_CLPR": "previous_close",
    "BOND_CNTG_ERT": "yield",
    "OPRC_ERT": "open_yield",
    "HGPR_ERT": "high_yield",
    "LWPR_ERT": "low_yield",
    "ACML_VOL": "day_volume",
    "PRDY_VOL": "previous_day_volume",
    "CNTG_TYPE_CLS_CODE": "trade_type",
}


class Writer(NamedTuple):
    """A schema that may have written ticks, and the bytes before each datum that it wrote."""

    prefix: bytes
    schema: str


class Reach(NamedTuple):
    """Where the ticks are.

    `writers` are for Spark, which can read both framings but asks no registry.
    """

    topic: str
    bootstrap_servers: str
    registry_url: str | None
    writers: Sequence[Writer] = ()


class _Column(NamedTuple):
    name: str
    kind: str
    precision: int
    scale: int
    is_nullable: bool


def table_definition(engine: str, schema: TickSchema, reach: Reach) -> str:
    """Return SQL for one of ENGINES: the table, and a view with English names."""
    columns = [_column(field) for field in json.loads(schema.text)["fields"]]
    match engine:
        case "flink":
            return _flink(columns, reach)
        case "spark":
            return _spark(columns, schema, reach)
        case "clickhouse":
            return _clickhouse(columns, reach)
        case _:
            return _duckdb(columns)


def _column(field: Mapping[str, Any]) -> _Column:
    avro_type = field["type"]
    is_nullable = isinstance(avro_type, list)
    bare = next(one for one in avro_type if one != "null") if is_nullable else avro_type
    kind = str(bare.get("logicalType", bare["type"]) if isinstance(bare, dict) else bare)
    precision, scale = (bare.get(part, 0) if isinstance(bare, dict) else 0 for part in ("precision", "scale"))
    return _Column(field["name"], kind, precision, scale, is_nullable)


def _types(columns: list[_Column], names: Mapping[str, str], not_null: str, nullable: str, quote: str = "`") -> str:
    """Return the lines of the columns. `not_null` and `nullable` are patterns around a type."""
    lines = []
    for column in columns:
        bare = names[column.kind].format(precision=column.precision, scale=column.scale)
        lines.append(f"  {quote}{column.name}{quote} {(nullable if column.is_nullable else not_null).format(bare)}")
    return ",\n".join(lines)


def _view(columns: list[_Column], source: str = TABLE, quote: str = "`") -> str:
    lines = [f"  {quote}{column.name}{quote} AS {quote}{_english(column.name)}{quote}" for column in columns]
    return "SELECT\n" + ",\n".join(lines) + f"\nFROM {source}"


def _english(name: str) -> str:
    return ENGLISH.get(name, name.lower())


def _warning(reach: Reach) -> str:
    if reach.registry_url is not None:
        return ""
    return (
        "-- registry.url is not set, and this engine reads ticks only in a registry's framing: set it,\n"
        "-- run kis-bond schema register, and print this again. The registry's URL below is only an example.\n"
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _spark_text(value: str) -> str:
    """Return a literal; Spark takes doubled apostrophes for two texts, one after the other."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_FLINK: Final = {
    "string": "STRING",
    "decimal": "DECIMAL({precision}, {scale})",
    "long": "BIGINT",
    "date": "DATE",
    "timestamp-millis": "TIMESTAMP(3)",
    "array": "ARRAY<STRING NOT NULL>",
}


def _flink(columns: list[_Column], reach: Reach) -> str:
    options = {
        "connector": "kafka",
        "topic": reach.topic,
        "properties.bootstrap.servers": reach.bootstrap_servers,
        "properties.group.id": f"flink-{TABLE}",
        "scan.startup.mode": "earliest-offset",
        "key.format": "raw",
        "key.fields": columns[0].name,
        "value.fields-include": "ALL",
        "value.format": "avro-confluent",
        "scan.watermark.idle-timeout": f"{IDLE_SECONDS} s",
        "value.avro-confluent.url": reach.registry_url or UNSET_REGISTRY,
    }
    lines = ",\n".join(f"  {_text(name)} = {_text(value)}" for name, value in options.items())
    return f"""\
{_warning(reach)}-- Names are case-sensitive. The two times are TIMESTAMP(3) in UTC: a CAST to TIMESTAMP_LTZ would read
-- them in the session's time zone, nine hours off in Seoul. A tick may come again with the same
-- tick_id. The order of a bond's trades is (trade_date, ACML_VOL).
CREATE TABLE {TABLE} (
{_types(columns, _FLINK, "{} NOT NULL", "{}")},
  WATERMARK FOR traded_at AS traded_at - INTERVAL '{LATE_SECONDS}' SECOND
) WITH (
{lines}
);

CREATE VIEW {VIEW} AS
{_view(columns)};
"""


def _spark(columns: list[_Column], schema: TickSchema, reach: Reach) -> str:
    ours = _spark_text(_without_docs(schema.text))
    branches = "\n".join(
        f"      WHEN startswith(value, X'{writer.prefix.hex().upper()}') THEN from_avro(\n"
        f"        substring(value, {len(writer.prefix) + 1}),\n"
        f"        {_spark_text(_without_docs(writer.schema))},\n"
        f"        map('mode', 'FAILFAST', 'avroSchema', {ours}))"
        for writer in reach.writers
    )
    fields = ",\n".join(f"  tick.`{column.name}`" for column in columns)
    return f"""\
-- For Spark with the packages spark-sql-kafka-0-10 and spark-avro. A tick begins with the name of the
-- schema that wrote it, and Spark asks no registry: from_avro gives nulls if it is told another schema.
-- So each schema has its WHEN, which turns its ticks into ours. A tick of a schema that is not here ends
-- the query: print this again, and start it from its checkpoint.
-- A tick may come again with the same tick_id. The order of a bond's trades is (trade_date, ACML_VOL).
-- Times are shown in the zone spark.sql.session.timeZone.
CREATE OR REPLACE TEMPORARY VIEW {TABLE}_raw
USING kafka
OPTIONS (
  `kafka.bootstrap.servers` {_spark_text(reach.bootstrap_servers)},
  subscribe {_spark_text(reach.topic)},
  startingOffsets 'earliest'
);

CREATE OR REPLACE TEMPORARY VIEW {TABLE} AS
SELECT
{fields}
FROM (
  SELECT
    CASE
{branches}
      ELSE raise_error('{UNKNOWN_TO_SPARK}: ' || hex(substring(value, 1, {LONGEST_PREFIX})))
    END AS tick
  FROM {TABLE}_raw
);

CREATE OR REPLACE TEMPORARY VIEW {VIEW} AS
{_view(columns)};
"""


def _without_docs(text: str) -> str:
    schema = json.loads(text, object_hook=lambda part: {name: value for name, value in part.items() if name != "doc"})
    return json.dumps(schema, ensure_ascii=False)


_CLICKHOUSE: Final = {
    "string": "String",
    "decimal": "Decimal({precision}, {scale})",
    "long": "Int64",
    "date": "Date32",
    "timestamp-millis": "DateTime64(3, 'UTC')",
    "array": "Array(String)",
}


def _clickhouse(columns: list[_Column], reach: Reach) -> str:
    lines = _types(columns, _CLICKHOUSE, "{}", "Nullable({})")
    one_registry = (reach.registry_url or UNSET_REGISTRY).partition(",")[0]  # ClickHouse knows no second one
    return f"""\
{_warning(reach)}-- Copies of a tick have the same tick_id: the table keeps one of them, and FINAL reads one.
CREATE TABLE {TABLE} (
{lines}
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(trade_date)
ORDER BY (STND_ISCD, trade_date, ACML_VOL, tick_id);

CREATE TABLE {TABLE}_queue (
{lines}
) ENGINE = Kafka
SETTINGS
  kafka_broker_list = {_text(reach.bootstrap_servers)},
  kafka_topic_list = {_text(reach.topic)},
  kafka_group_name = 'clickhouse-{TABLE}',
  kafka_format = 'AvroConfluent',
  format_avro_schema_registry_url = {_text(one_registry)};

CREATE MATERIALIZED VIEW {TABLE}_reader TO {TABLE} AS
SELECT * FROM {TABLE}_queue;

CREATE VIEW {VIEW} AS
{_view(columns, f"{TABLE} FINAL")};
"""


_DUCKDB: Final = {
    "string": "VARCHAR",
    "decimal": "DECIMAL({precision}, {scale})",
    "long": "BIGINT",
    "date": "DATE",
    "timestamp-millis": "TIMESTAMPTZ",
    "array": "VARCHAR[]",
}


def _duckdb(columns: list[_Column]) -> str:
    keyed = _types(columns, _DUCKDB, "{} NOT NULL", "{}", '"').replace(
        '"tick_id" VARCHAR NOT NULL', '"tick_id" VARCHAR PRIMARY KEY'
    )
    return f"""\
-- A program reads the topic and fills the table. Copies of a tick have the same tick_id, so add them
-- with INSERT OR IGNORE INTO {TABLE}.
CREATE TABLE {TABLE} (
{keyed}
);

CREATE VIEW {VIEW} AS
{_view(columns, quote='"')};
"""
