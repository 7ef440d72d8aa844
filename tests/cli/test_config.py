"""Tests of `kis-bond config`."""

import json

from connector import settings


def test_the_example_is_a_settings_file(cli, tmp_path):
    """The printed file is accepted by --config, and fits 80 columns."""
    result = cli("config", "example", COLUMNS="80")
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    path = tmp_path / "kis-bond.yaml"
    path.write_text(result.stdout)
    assert settings.load(path, {}) == settings.load(None, {})
    shown = cli("check", "--json", "--config", str(path), KIS__APPKEY="a", KIS__APPSECRET="b")
    assert shown.exit_code == 0, shown.stderr


def test_the_schema_is_json(cli):
    """The schema is one JSON document with a section for each of the settings'."""
    result = cli("config", "schema")
    assert result.exit_code == 0, result.stderr
    assert set(json.loads(result.stdout)["properties"]) == set(settings.Settings.model_fields)
