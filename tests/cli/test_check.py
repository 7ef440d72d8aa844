"""Tests of `kis-bond check` without its real peers."""

import base64
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("192.0.2.1", "http.host: 192.0.2.1 is not an address of this machine"),
        ("no-such-host.invalid", "http.host: the name no-such-host.invalid does not resolve"),
    ],
)
def test_a_host_at_which_run_could_not_listen_is_refused(cli, host, problem):
    """Check refuses an address with the sentence and code with which run would end at once."""
    result = cli("check", HTTP__HOST=host, **KEYS)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_a_port_in_use_is_told_and_is_no_mistake(cli):
    """Check may run beside the connector, which has the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = cli("check", HTTP__PORT=port, **KEYS)
        assert result.exit_code == 0
        assert f"# http.port: {port} is in use" in result.stdout
    assert "is in use" not in cli("check", HTTP__PORT=port, **KEYS).stdout


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
        "KIS__APPROVAL_URL": "http://127.0.0.1:1/x?token=x,canary,http://127.0.0.1:2/?token=canary",
        "KIS__WEBSOCKET_URL": "ws://127.0.0.1:1/?token=canary",
        "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    result = cli("check", *arguments, JOURNAL__PATH=tmp_path / "j.db", KIS__APPKEY="k", KIS__APPSECRET="s", **urls)
    assert result.exit_code == (5 if arguments[:1] == ["--connect"] else 0)
    assert "http://127.0.0.1:1/x?********" in result.stdout
    assert "canary" not in result.output


def test_a_refused_query_is_not_printed(cli):
    """The registry's URL has no query, and the refusal does not show the token in it."""
    result = cli("check", REGISTRY__URL="http://127.0.0.1:1/?token=canary", **KEYS)
    assert result.exit_code == 2
    assert "registry.url" in result.output
    assert "canary" not in result.output


class Echo(BaseHTTPRequestHandler):
    """Refuses each request, and quotes the credentials it was sent."""

    def do_POST(self):
        """Answer with the user name and the password."""
        quoted = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        body = json.dumps({"error_code": 40101, "message": f"who is {quoted}?"}).encode()
        self.send_response(401)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def echo():
    """Run a registry that quotes the credentials it was sent, and return its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_registry_that_quotes_the_password(cli, tmp_path, echo, arguments):
    """A password that the registry quotes is hidden in the result."""
    (password := tmp_path / "password").write_text("canary-password")
    peers = {
        "KIS__APPROVAL_URL": "http://127.0.0.1:1/x",
        "KIS__WEBSOCKET_URL": "ws://127.0.0.1:1",
        "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "JOURNAL__PATH": tmp_path / "j.db",
        "REGISTRY__URL": echo,
        "REGISTRY__USERNAME": "me",
        "REGISTRY__PASSWORD_FILE": password,
    }
    result = cli("check", "--connect", *arguments, **KEYS, **peers)
    assert "who is me:" in result.stdout
    assert "canary" not in result.output
