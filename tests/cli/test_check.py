"""Tests of `kis-bond check` without its peers."""

import json

import pytest
import yaml

from connector.settings import load

KEYS = {"KIS__APPKEY": "canary-key", "KIS__APPSECRET": "canary-secret"}


def test_prints_the_effective_configuration(cli):
    """The settings are printed as YAML with secrets hidden, and warnings on stderr."""
    result = cli("check", HTTP__PORT="9", **KEYS)
    assert result.exit_code == 0
    shown = yaml.safe_load(result.stdout)
    assert shown["http"]["port"] == 9
    assert shown.keys() == load(None, {}).redacted().keys()
    assert "# app keys, read and well formed: 1" in result.stdout
    assert result.stderr.startswith("warning: kis.websocket_url: ")
    assert "canary" not in result.output


def test_json(cli):
    """With --json one object holds settings, warnings and the number of app keys."""
    shown = json.loads(cli("check", "--json", **KEYS).stdout)
    assert shown["app_keys"] == 1
    assert shown["settings"]["kis"]["appkey"] == "********"
    assert len(shown["warnings"]) == 1
    assert shown["connect"] == []


def test_credentials_are_demanded(cli):
    """Without credentials check shows the settings and ends with 2."""
    result = cli("check")
    assert result.exit_code == 2
    assert "kafka:" in result.stdout
    assert "no KIS credentials were given" in result.stderr


def test_connect_reports_every_try(cli, tmp_path):
    """With --connect each peer has a line, and a failed one ends the command with 5."""
    away = {
        "KIS__APPROVAL_URL": "http://127.0.0.1:1/x",
        "KIS__WEBSOCKET_URL": "ws://127.0.0.1:1",
        "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    result = cli("check", "--connect", JOURNAL__PATH=tmp_path / "j.db", **KEYS, **away)
    assert result.exit_code == 5
    tried = [line.split(": ")[0] for line in result.stdout.splitlines() if line.startswith(("# ok", "# FAILED"))]
    assert tried == ["# ok     journal", "# FAILED Kafka", "# FAILED app key 0", "# FAILED WebSocket port"]
    assert result.stderr.splitlines()[-1] == "Not in order: Kafka, app key 0, WebSocket port."
    assert "canary" not in result.output


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--connect"], ["--connect", "--json"]])
def test_queries_of_urls_are_not_printed(cli, tmp_path, arguments):
    """A query in a URL, which may hold a token, is hidden in settings, warnings and results."""
    urls = {
        "KIS__APPROVAL_URL": "http://127.0.0.1:1/x?token=canary",
        "KIS__WEBSOCKET_URL": "ws://127.0.0.1:1/?token=canary",
        "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "REGISTRY__URL": "http://127.0.0.1:1/?token=x,canary,http://127.0.0.1:2/?token=canary",
    }
    result = cli("check", *arguments, JOURNAL__PATH=tmp_path / "j.db", KIS__APPKEY="k", KIS__APPSECRET="s", **urls)
    assert result.exit_code == (5 if arguments[:1] == ["--connect"] else 0)
    assert "http://127.0.0.1:1/x?********" in result.stdout
    assert "canary" not in result.output
