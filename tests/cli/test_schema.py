"""Tests of `kis-bond schema`."""

import asyncio
import json
import re

import pytest

from connector.core.ticks.avro import TickSchema
from connector.packaged_files import bond_tick, released_schemas
from connector.settings import RegistrySettings
from connector.shell import registry
from tests.core.ticks.test_compatibility import COMPATIBLE, INCOMPATIBLE, edited


def test_show_prints_the_file(cli):
    """The schema of ticks is printed as it is published, so that a reader can save it."""
    assert cli("schema", "show").stdout == bond_tick()
    assert json.loads(cli("schema", "show", "--released", "1.0.0").stdout)["name"] == "BondTick"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tock",), "There is no schema 'tock'"),
        (("--released", "0.1.0"), "No schema of ticks was released as '0.1.0': 1.0.0."),
        (("event", "--released", "1.0.0"), "No schema of ticks was released"),
    ],
)
def test_show_names_what_there_is(cli, arguments, says):
    """An unknown schema is a malformed request."""
    result = cli("schema", "show", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_this_versions_schema_fits_every_released_one(cli):
    """The tree's schema is compatible with all released ones, without a registry."""
    result = cli("schema", "check")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "Compatible with released schema 1.0.0 in both directions.\n"


@pytest.mark.parametrize(("edit", "says"), INCOMPATIBLE.values(), ids=INCOMPATIBLE)
def test_an_incompatible_edit_ends_with_5(cli, tmp_path, edit, says):
    """The sentence names the version and the field."""
    (tmp_path / "edited.avsc").write_text(edited(edit))
    result = cli("schema", "check", str(tmp_path / "edited.avsc"))
    assert result.exit_code == 5
    assert result.stderr.startswith(f"Not compatible with released schema 1.0.0: {says}")


@pytest.mark.parametrize("edit", COMPATIBLE.values(), ids=COMPATIBLE)
def test_a_compatible_edit_ends_with_0(cli, tmp_path, edit):
    """As JSON, the list of problems is empty."""
    (tmp_path / "edited.avsc").write_text(edited(edit))
    result = cli("schema", "check", str(tmp_path / "edited.avsc"), "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {"released": {"1.0.0": []}, "subject": None}


def test_a_file_that_cannot_be_read_ends_with_2(cli, tmp_path):
    """A missing file, a folder and bytes that are no text are named."""
    (tmp_path / "bytes").write_bytes(b"\xff")
    for path, says in (("missing", "No such file"), ("", "Is a directory"), ("bytes", "it is not UTF-8")):
        result = cli("schema", "check", str(tmp_path / path))
        assert result.exit_code == 2
        assert says in result.stderr


def test_registering_and_checking_with_a_registry(cli, registry_url, topic_names):
    """Before, the schema is missing; after, its id and the level are shown."""
    given = {"REGISTRY__URL": registry_url, "TOPICS__TICKS": topic_names.ticks}
    before = cli("schema", "check", **given)
    assert before.exit_code == 5
    assert f"{topic_names.ticks}-value does not hold this schema: run kis-bond schema register." in before.stderr
    registered = cli("schema", "register", **given)
    assert registered.exit_code == 0, registered.stderr
    lines = registered.stdout.splitlines()
    assert lines[0].startswith(f"The schema of {topic_names.ticks}-value is registered under id ")
    assert lines[1] == "Its compatibility level is NONE."
    assert lines[2].startswith("Warning: compatibility level NONE accepts schemas that break readers")
    levelled = cli("schema", "register", "--compatibility", "FULL_TRANSITIVE", "--json", **given)
    assert json.loads(levelled.stdout)["level"] == "FULL_TRANSITIVE"
    after = cli("schema", "check", **given)
    assert after.exit_code == 0, after.stderr
    assert "Its compatibility level is FULL_TRANSITIVE." in after.stdout


def test_register_says_what_it_needs(cli):
    """Without a registry, and with an unknown level, the command ends with 2."""
    assert "registry.url: is needed" in cli("schema", "register").stderr
    result = cli("schema", "register", "--compatibility", "full")
    assert result.exit_code == 2
    assert "'full' is none of NONE, BACKWARD" in result.stderr


def test_a_registry_that_is_away_ends_with_5(cli):
    """The sentence names the registry."""
    result = cli("schema", "check", REGISTRY__URL="http://127.0.0.1:1")
    assert result.exit_code == 5
    assert "REG_UNREACHABLE" in result.stderr


@pytest.mark.parametrize("engine", ["flink", "spark", "clickhouse", "duckdb"])
def test_ddl_prints_a_table_and_a_view(cli, engine):
    """The topic and the brokers are those of the settings."""
    result = cli("schema", "ddl", "--for", engine, TOPICS__TICKS="my.ticks", KAFKA__BOOTSTRAP_SERVERS="b:1")
    assert result.exit_code == 0, result.stderr
    assert "bond_trades AS\nSELECT" in result.stdout
    assert engine == "duckdb" or ("'my.ticks'" in result.stdout and "'b:1'" in result.stdout)


def test_ddl_for_spark_has_every_schema_of_the_registry(cli, registry_url, topic_names):
    """The ids are asked from the registry; a subject without schemas ends with 5."""
    given = {"REGISTRY__URL": registry_url, "TOPICS__TICKS": topic_names.ticks}
    missing = cli("schema", "ddl", "--for", "spark", **given)
    assert missing.exit_code == 5
    assert "does not hold this schema: run kis-bond schema register." in missing.stderr
    ids = [
        asyncio.run(registry.register(RegistrySettings(url=registry_url), f"{topic_names.ticks}-value", text))
        for text in (bond_tick(), edited(COMPATIBLE["a new column"]))
    ]
    prefixes = re.findall(r"WHEN startswith\(value, X'(\w+)'\)", cli("schema", "ddl", "--for", "spark", **given).stdout)
    single_object = [
        schema.single_object_prefix.hex().upper() for schema in map(TickSchema, released_schemas().values())
    ]
    assert prefixes == [f"00{each:08X}" for each in reversed(ids)] + single_object


def test_ddl_for_spark_refuses_a_schema_that_it_cannot_read(cli, registry_url, topic_names):
    """There is no table if some ticks would be read wrongly; the sentence names the version."""
    edit = edited(INCOMPATIBLE["long to string"][0])
    asyncio.run(registry.register(RegistrySettings(url=registry_url), f"{topic_names.ticks}-value", edit))
    result = cli("schema", "ddl", "--for", "spark", REGISTRY__URL=registry_url, TOPICS__TICKS=topic_names.ticks)
    assert result.exit_code == 5
    assert result.stdout == ""
    assert "version 1 does not fit: CNTG_VOL changes its type" in result.stderr


def test_ddl_for_an_unknown_engine_ends_with_2(cli):
    """The sentence names the engines."""
    result = cli("schema", "ddl", "--for", "oracle")
    assert result.exit_code == 2
    assert "'oracle' is none of flink, spark, clickhouse, duckdb." in result.stderr
