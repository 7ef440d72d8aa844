"""Trying the peers, against the simulator, a real Kafka and real files."""

import pytest

from connector.cli import check_peers
from connector.cli.finding import Finding
from connector.core.kis.approval import Granted
from connector.errors import CredentialsRefused, JournalUnusable, NotInTime
from connector.settings import load
from connector.shell.journal.file import SCHEMA_VERSION, JournalFile
from connector.shell.kis.approval import ApprovalService
from connector.shell.kis.credentials import Credentials
from simulator import Simulator
from tests import two_addresses


def settings_for(tmp_path, **given):
    """Return settings with one app key and a journal of the test's own, nobody else reachable."""
    base = {
        "KIS__APPKEY": "key",
        "KIS__APPSECRET": "secret",
        "JOURNAL__PATH": str(tmp_path / "journal.db"),
        "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    return load(None, {f"KIS_BOND_{name}": value for name, value in (base | given).items()})


def urls(kis):
    """Return the variables that lead to a simulator."""
    return {"KIS__APPROVAL_URL": kis.approval_url, "KIS__WEBSOCKET_URL": kis.websocket_url}


async def failures(settings):
    """Return what kind of failure each part came to."""
    return {each.part: each.failure for each in await check_peers.find_all(settings, Credentials(settings.kis))}


async def test_kis_answers_without_a_session(tmp_path):
    """One approval key per app key and a bare TCP connection are asked for, and no session is opened."""
    async with Simulator() as kis:
        found = await failures(settings_for(tmp_path, **urls(kis)))
        assert (found["app key 0"], found["WebSocket port"]) == (None, None)
        assert (len(kis.approvals), kis.sessions, kis.replies) == (1, [], [])


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("approval-error=EGW00103", CredentialsRefused),
        ("approval-down=503", NotInTime),
        ("approval-body=html", NotInTime),
    ],
)
async def test_kis_refuses(tmp_path, fault, failure):
    """A refusal for good is told apart from a service that is away."""
    async with Simulator(faults=(fault,)) as kis:
        assert (await failures(settings_for(tmp_path, **urls(kis))))["app key 0"] is failure


async def test_a_connector_that_asked_just_now_is_no_failure(tmp_path):
    """KIS gives one approval key a second; the second of that second's calls is made again once it is over."""
    async with Simulator() as kis:
        settings = settings_for(tmp_path, **urls(kis))
        assert isinstance(await ApprovalService(kis.approval_url).request(Credentials(settings.kis).read(0)), Granted)
        assert (await failures(settings))["app key 0"] is None
        assert len(kis.approvals) == 3


async def test_kafka_and_topics(tmp_path, kafka, topic_names):
    """Kafka's answer and each topic's drift are findings."""
    given = {
        f"TOPICS__{name.upper()}": getattr(topic_names, name)
        for name in ("ticks", "control", "status", "events", "dead_letters")
    }
    settings = settings_for(tmp_path, KAFKA__BOOTSTRAP_SERVERS=kafka.bootstrap_servers, **given)
    findings = await check_peers._kafka(settings)
    assert findings[0] == Finding("Kafka", f"{kafka.bootstrap_servers} answered")
    assert [each.failure for each in findings[1:]] == [NotInTime] * 5


async def test_registry_away(tmp_path):
    """A registry out of reach is a finding; without one configured there is none."""
    assert await check_peers._registry(settings_for(tmp_path)) == []
    (finding,) = await check_peers._registry(settings_for(tmp_path, REGISTRY__URL="http://127.0.0.1:1"))
    assert (finding.part, finding.failure) == ("registry", NotInTime)


async def test_registry_without_our_schema(tmp_path, registry_url, topic_names):
    """A registry that does not hold the schema is told with the remedy, and nothing is registered though that is allowed."""
    given = {"REGISTRY__URL": registry_url, "REGISTRY__AUTO_REGISTER": "true", "TOPICS__TICKS": topic_names.ticks}
    for _ in range(2):
        (finding,) = await check_peers._registry(settings_for(tmp_path, **given))
        assert finding.failure is NotInTime
        assert "topics init --register-schema" in finding.message


def test_a_journal_yet_to_be_made(tmp_path):
    """A journal that is not there can be made, and is not made by looking."""
    assert check_peers._journal(tmp_path / "new" / "journal.db").failure is None
    assert not (tmp_path / "new").exists()


def test_a_journal_held_by_a_running_connector(tmp_path):
    """A journal in use is fine, and stays in use."""
    held = JournalFile.open(tmp_path / "journal.db")
    before = sorted(tmp_path.iterdir())
    assert check_peers._journal(tmp_path / "journal.db").failure is None
    assert sorted(tmp_path.iterdir()) == before
    held.close()


def test_a_journal_of_a_newer_version(tmp_path):
    """A journal written by a newer version cannot be used."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"SQLite format 3\0".ljust(60, b"\0") + (SCHEMA_VERSION + 1).to_bytes(4, "big"))
    finding = check_peers._journal(path)
    assert finding.failure is JournalUnusable
    assert "newer version" in finding.message


def test_a_journal_that_may_not_be_written(tmp_path, monkeypatch):
    """A folder without the right to write cannot hold the journal."""
    monkeypatch.setattr(check_peers.os, "access", lambda *_: False)
    assert check_peers._journal(tmp_path / "journal.db").failure is JournalUnusable


async def test_the_websocket_port_is_reached_at_the_next_address(tmp_path, monkeypatch):
    """If the first address of the exchange swallows connections, the second is tried."""
    two_addresses.resolve(monkeypatch)
    async with Simulator() as kis:
        port = int(kis.websocket_url.rsplit(":", 1)[1])
        given = urls(kis) | {"KIS__WEBSOCKET_URL": f"ws://{two_addresses.NAME}:{port}"}
        with two_addresses.swallowing(port):
            found = await failures(settings_for(tmp_path, **given))
    assert found["WebSocket port"] is None
