"""Bad-input matrix, configuration: each mistake as "key: problem: fix", and exit code 2."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from connector.errors import ConfigurationError
from connector.settings import load

ROOT = Path(__file__).parents[2]

MISTAKES = {
    "unknown section": ("kfka: {}", "kfka", "did you mean kafka?"),
    "unknown key": ("kafka: {bootstrap: 'a:1'}", "kafka.bootstrap", "is not a setting"),
    "acks other than all": ("kafka: {acks: 1}", "kafka.acks", "is not a setting"),
    "idempotence off": ("kafka: {enable_idempotence: false}", "kafka.enable_idempotence", "is not a setting"),
    "bootstrap empty": ("kafka: {bootstrap_servers: ''}", "kafka.bootstrap_servers", "is not a broker address"),
    "bootstrap of commas": ("kafka: {bootstrap_servers: ',,'}", "kafka.bootstrap_servers", "is not a broker address"),
    "bootstrap null": ("kafka: {bootstrap_servers: null}", "kafka.bootstrap_servers", ""),
    "bootstrap with a scheme": (
        "kafka: {bootstrap_servers: 'http://a:1'}",
        "kafka.bootstrap_servers",
        "is not a broker address",
    ),
    "text for a number": ("http: {port: http}", "http.port", "is not a whole number"),
    "fraction for a whole number": ("kis: {session_capacity: 41.5}", "kis.session_capacity", "is not a whole number"),
    "yes for a number": ("kis: {session_capacity: yes}", "kis.session_capacity", "is true"),
    "list for a text": ("kafka: {bootstrap_servers: [a, b]}", "kafka.bootstrap_servers", "is a list"),
    "section for a text": ("kafka: {client_id: {a: 1}}", "kafka.client_id", "is a section"),
    "list for a number": ("http: {port: [1]}", "http.port", "is a list"),
    "number with a unit": ("kis: {reply_timeout_seconds: 5s}", "kis.reply_timeout_seconds", "without a unit"),
    "another word for true": ("kis: {allow_cleartext: enabled}", "kis.allow_cleartext", "neither true nor false"),
    "two for true": ("kis: {allow_cleartext: 2}", "kis.allow_cleartext", "neither true nor false"),
    "list as a text": ("http: {allowed_hosts: '[a, b]'}", "http.allowed_hosts", "is not a host name"),
    "number too long to read": (f"http: {{port: {'9' * 5000}}}", None, "cannot be read"),
    "number for a section": ("kafka: 5", "kafka", "is a number, not a section"),
    "number out of range": ("http: {port: 70000}", "http.port", "give a number from 0 to 65535"),
    "endless number": ("kis: {silence_timeout_seconds: .inf}", "kis.silence_timeout_seconds", "is not a number"),
    "size in a foreign unit": ("journal: {max_bytes: 1 parsec}", "journal.max_bytes", "is not a size"),
    "value that is none": ("log: {level: loud}", "log.level", "'debug', 'info', 'warning' or 'error'"),
    "key twice": ("log: {level: info, level: debug}", None, "this key appears twice"),
    "not YAML": ("kafka: {", None, ""),
    "YAML list": ("- kafka", None, ""),
    "YAML with a Python object": ("kafka: !!python/object/apply:os.system ['true']", None, ""),
    "PLAIN in clear text": (
        (
            "kafka: {security_protocol: SASL_PLAINTEXT, sasl_mechanism: PLAIN, "
            "sasl_username: u, sasl_password_file: /dev/null}"
        ),
        "kafka.security_protocol",
        "PLAIN would send the password in clear text",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_reported_with_its_key_and_fix(tmp_path, name):
    """A bad file is refused with one problem: first the key or the file, last the fix."""
    text, key, words = MISTAKES[name]
    config = tmp_path / "kis-bond.yaml"
    config.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        load(config, {})
    (problem,) = refused.value.problems
    assert problem.startswith(f"{key}: " if key else str(config))
    assert words in problem
    assert len(problem.split(": ", 2)) == 3
    assert "\n" not in problem


async def test_all_mistakes_end_the_connector_before_it_connects(tmp_path):
    """`kis-bond run` reports all mistakes at once and ends with 2, without any connection."""
    touched = asyncio.Event()

    async def touch(_, writer):
        touched.set()
        writer.close()

    server = await asyncio.start_server(touch, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    rows = ("unknown key", "acks other than all", "text for a number", "size in a foreign unit", "value that is none")
    config = tmp_path / "kis-bond.yaml"
    config.write_text(
        f"kis: {{websocket_url: 'ws://127.0.0.1:{port}', approval_url: 'http://127.0.0.1:{port}/', "
        "appkey: canary, appsecret: canary}\n"
        f"kafka: {{bootstrap_servers: '127.0.0.1:{port}', bootstrap: a, acks: 1}}\n"
        "http: {port: http}\njournal: {max_bytes: 1 parsec}\nlog: {level: loud}\n"
    )
    done = await asyncio.to_thread(_run, tmp_path, "run", "--config", str(config))
    server.close()
    assert done.returncode == 2
    assert sorted(line.partition(":")[0] for line in done.stderr.splitlines()) == sorted(
        MISTAKES[row][1] for row in rows
    )
    assert not touched.is_set()
    assert [path.name for path in tmp_path.iterdir()] == ["kis-bond.yaml"]
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["run", "check"])
def test_missing_app_keys_are_reported_with_the_other_mistakes(tmp_path, command):
    """A missing folder of app keys is reported together with all other mistakes."""
    (config := tmp_path / "c.yaml").write_text(f"kis: {{credentials_dir: {tmp_path}/none}}\nhttp: {{port: http}}\n")
    done = _run(tmp_path, command, "--config", str(config))
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["http.port", "kis.credentials_dir"]
    config.write_text(f"kis: {{credentials_dir: {tmp_path}/none}}\n")
    done = _run(tmp_path, command, "--config", str(config))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("kis.credentials_dir: ")


@pytest.mark.parametrize(
    "words", [["--appkey", "canary"], ["--appsecret=canary"], ["--kis.appkey", "canary"], ["canary"]]
)
def test_no_argument_takes_a_secret(tmp_path, words):
    """No argument takes a secret; giving one ends with 2."""
    done = _run(tmp_path, "run", *words)
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())


def _run(folder, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KIS_BOND_")} | {
        "PYTHONPATH": str(ROOT)
    }
    command = [sys.executable, "-m", "connector", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
