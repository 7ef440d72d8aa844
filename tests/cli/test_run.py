"""Tests that `kis-bond run` ends with the right code and a sentence that says what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from connector import __version__
from connector.shell.journal.folder import Folder
from simulator import Simulator
from tests.deployment import Deployment

ROOT = Path(__file__).parents[2]
NOBODY = "127.0.0.1:1"


def run(tmp_path, **environment):
    """Run the connector until it ends, and return the finished process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KIS_BOND_")}
    given = {
        "KIS_BOND_KIS__APPKEY": "test-appkey",
        "KIS_BOND_KIS__APPSECRET": "test-appsecret",
        "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": NOBODY,
        "KIS_BOND_JOURNAL__PATH": str(tmp_path / "data" / "journal"),
        "KIS_BOND_HTTP__PORT": "0",
    } | environment
    given = {name: value for name, value in given.items() if value is not None}
    command = [sys.executable, "-m", "connector", "run"]
    return subprocess.run(command, env=clean | given, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_all_mistakes_are_reported_before_connecting(tmp_path):
    """Wrong settings end it with 2, and each mistake has a line with its key."""
    done = run(
        tmp_path,
        KIS_BOND_KAFKA__BOOTSTRAP_SERVER="x",
        KIS_BOND_HTTP__PORT="http",
        KIS_BOND_JOURNAL__MAX_BYTES="1 parsec",
    )
    assert done.returncode == 2
    for key in ("kafka.bootstrap_server", "http.port", "journal.max_bytes"):
        assert key in done.stderr
    assert not (tmp_path / "data").exists()


def test_missing_credentials_are_a_configuration_error(tmp_path):
    """Without an app key it ends with 2 before anything is opened."""
    done = run(tmp_path, KIS_BOND_KIS__APPKEY=None, KIS_BOND_KIS__APPSECRET=None)
    assert done.returncode == 2
    assert "kis.credentials_dir" in done.stderr


@pytest.mark.slow
def test_a_journal_held_by_another_ends_it_with_four(tmp_path):
    """A journal that another instance keeps for 30 s ends it with 4; the message names both."""
    path = tmp_path / "data" / "journal"
    held = Folder(path)
    assert held.lock() is None
    done = run(tmp_path)
    held.close()
    assert done.returncode == 4
    assert str(path) in done.stderr
    assert f"pid {os.getpid()}" in done.stderr


def test_a_journal_that_cannot_be_written_ends_it_with_four(tmp_path):
    """A journal path below a file ends it with 4."""
    (tmp_path / "data").write_text("x")
    done = run(tmp_path)
    assert done.returncode == 4
    assert "Set journal.path to a folder" in done.stderr


def test_the_first_line_says_what_runs(tmp_path):
    """The first line of the log has the version, the brokers, the app keys and the page."""
    (tmp_path / "data").write_text("x")
    first = json.loads(run(tmp_path).stdout.splitlines()[0])
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert (first["event"], first["version"], first["app_keys"]) == ("starting", __version__, 1)
    assert first["page"].startswith("http://127.0.0.1:")
    assert first["brokers"]


@pytest.fixture
async def kis():
    """Run a simulator that knows one app key."""
    async with Simulator(app_keys=[("another-appkey", "another-secret")]) as exchange:
        yield exchange


async def test_an_app_key_refused_for_good_ends_it_with_three(kis, kafka, topic_names, tmp_path):
    """If KIS refuses the only app key at start, it ends with 3 and logs KIS's code."""
    own = Deployment(kis, kafka.bootstrap_servers, topic_names, tmp_path)
    own.create_topics()
    own.write("KR103502GD31", {})
    await own.start()
    assert await own.process.wait() == 3
    assert "EGW00103" in own.log.read_text()
    assert len(kis.approvals) == 1


async def test_no_secret_reaches_the_log(kis, kafka, topic_names, tmp_path):
    """The log at DEBUG has no app key, no secret and no approval key."""
    own = Deployment(kis, kafka.bootstrap_servers, topic_names, tmp_path)
    own.environment |= {
        "KIS_BOND_KIS__APPKEY": "another-appkey",
        "KIS_BOND_KIS__APPSECRET": "another-secret",
        "KIS_BOND_LOG__LEVEL": "debug",
    }
    own.create_topics()
    own.write("KR103502GD31", {})
    await own.start()
    await own.until_state("ACTIVE", ["KR103502GD31"])
    assert await own.end() == 0
    log = own.log.read_text()
    assert "session_opened" in log
    approvals = kis._approvals
    for secret in ("another-appkey", "another-secret", *approvals._issued):
        assert secret not in log
