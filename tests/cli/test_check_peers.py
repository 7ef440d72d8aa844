"""Tests of trying the peers, with the simulator, a real Kafka and real files."""

import pytest

from connector.cli import check_peers
from connector.cli.check_result import CheckResult
from connector.core.journal import record
from connector.core.kis.approval import Granted
from connector.errors import CredentialsRefused, JournalUnusable, NotInTime
from connector.packaged_files import bond_tick
from connector.settings import KisSettings, load
from connector.shell import registry
from connector.shell.journal.folder import Folder
from connector.shell.kis.approval import ApprovalService
from connector.shell.kis.credentials import Credentials
from simulator import Simulator
from tests import two_addresses
from tests.core.ticks.test_compatibility import INCOMPATIBLE, edited
from tests.kafka.process import free_ports


def settings_for(tmp_path, **given):
    """Return settings with one app key and a new journal, and without a reachable peer."""
    base = {
        "KIS__APPKEY": "key",
        "KIS__APPSECRET": "secret",
        "JOURNAL__PATH": str(tmp_path / "journal"),
        "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    return load(None, {f"KIS_BOND_{name}": value for name, value in (base | given).items()})


def urls(kis):
    """Return the variables that name a simulator."""
    return {"KIS__APPROVAL_URL": kis.approval_url, "KIS__WEBSOCKET_URL": kis.websocket_url}


async def failures(settings):
    """Return the failure of each part."""
    return {each.part: each.failure for each in await check_peers.check_all(settings, Credentials(settings.kis))}


async def test_kis_answers_without_a_session(tmp_path):
    """Each app key requests one approval key, and a bare TCP connection opens no session."""
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
    """A final refusal is another failure than an unreachable service."""
    async with Simulator(faults=(fault,)) as kis:
        assert (await failures(settings_for(tmp_path, **urls(kis))))["app key 0"] is failure


def auditing(tmp_path, kis):
    """Return the variables with which an auditor asks the simulator with an app key of its own."""
    folder = tmp_path / "rest-keys"
    folder.mkdir()
    (folder / "appkey-0").write_text("rest-key")
    (folder / "appsecret-0").write_text("rest-secret")
    return {
        "AUDIT__CREDENTIALS_DIR": folder,
        "AUDIT__REST_URL": kis.rest_url,
        "AUDIT__TOKEN_PATH": tmp_path / "token.json",
    }


async def test_the_auditors_app_key_gets_one_token(tmp_path):
    """Two checks issue one token, because KIS tells the customer of each; the auditor finds it."""
    async with Simulator() as kis:
        settings = settings_for(tmp_path, **urls(kis), **{n: str(v) for n, v in auditing(tmp_path, kis).items()})
        for _ in range(2):
            assert (await failures(settings))["auditor"] is None
        assert kis.tokens_issued == 1
        assert (tmp_path / "token.json").exists()


async def test_an_auditor_that_gets_no_token(tmp_path):
    """A REST service that is away is told with its address; a missing secret with its file."""
    async with Simulator() as kis:
        given = {name: str(value) for name, value in auditing(tmp_path, kis).items()}
    (result,) = await check_peers._audit(settings_for(tmp_path, **given))
    assert (result.part, result.failure) == ("auditor", NotInTime)
    assert kis.rest_url.removeprefix("http://") in result.message
    (tmp_path / "rest-keys" / "appsecret-0").unlink()
    (result,) = await check_peers._audit(settings_for(tmp_path, **given))
    assert result.failure is NotInTime
    assert "appsecret-0: CRED_MISSING" in result.message


async def test_without_an_auditors_app_key_nothing_is_asked(tmp_path):
    """An auditor that works by ticks alone has no part in the check."""
    assert await check_peers._audit(settings_for(tmp_path)) == []


async def test_a_connector_that_asked_just_now_is_no_failure(tmp_path):
    """KIS gives one approval key a second; a request that came too early is repeated."""
    async with Simulator() as kis:
        settings = settings_for(tmp_path, **urls(kis))
        assert isinstance(await ApprovalService(kis.approval_url).request(Credentials(settings.kis).read(0)), Granted)
        assert (await failures(settings))["app key 0"] is None
        assert len(kis.approvals) == 3


async def test_kafka_and_topics(tmp_path, kafka, topic_names):
    """Kafka's answer and the drift of each topic are results; without coverage, nothing fails."""
    given = {
        f"TOPICS__{name.upper()}": getattr(topic_names, name)
        for name in ("ticks", "control", "status", "events", "dead_letters", "coverage")
    }
    settings = settings_for(tmp_path, KAFKA__BOOTSTRAP_SERVERS=kafka.bootstrap_servers, **given)
    results = await check_peers._kafka(settings)
    assert results[0] == CheckResult("Kafka", f"{kafka.bootstrap_servers} answered")
    assert [each.failure for each in results[1:]] == [NotInTime] * 5 + [None]


async def test_registry_away(tmp_path):
    """An unreachable registry is a failure; without a registry there is no result."""
    assert await check_peers._registry(settings_for(tmp_path)) == []
    (result,) = await check_peers._registry(settings_for(tmp_path, REGISTRY__URL="http://127.0.0.1:1"))
    assert (result.part, result.failure) == ("registry", NotInTime)


async def test_registry_without_our_schema(tmp_path, registry_url, topic_names):
    """A registry without the schema is reported with the remedy, and nothing is registered."""
    given = {"REGISTRY__URL": registry_url, "REGISTRY__AUTO_REGISTER": "true", "TOPICS__TICKS": topic_names.ticks}
    for _ in range(2):
        (result,) = await check_peers._registry(settings_for(tmp_path, **given))
        assert result.failure is NotInTime
        assert "topics init --register-schema" in result.message


def test_a_journal_yet_to_be_created(tmp_path):
    """A missing journal can be created, and the check does not create it."""
    assert check_peers._journal(tmp_path / "new" / "journal").failure is None
    assert not (tmp_path / "new").exists()


def test_a_journal_held_by_a_running_connector(tmp_path):
    """A journal in use passes the check, and stays in use."""
    held = Folder(tmp_path / "journal")
    assert held.lock() is None
    before = sorted(tmp_path.rglob("*"))
    assert check_peers._journal(tmp_path / "journal").failure is None
    assert sorted(tmp_path.rglob("*")) == before
    held.close()


def test_a_journal_of_a_newer_version(tmp_path, monkeypatch):
    """A journal written by a newer version cannot be used."""
    path = tmp_path / "journal"
    path.mkdir()
    monkeypatch.setattr(record, "FORMAT", record.FORMAT + 1)
    (path / "00000000000000000001.log").write_bytes(record.header(1))
    monkeypatch.undo()
    result = check_peers._journal(path)
    assert result.failure is JournalUnusable
    assert "newer version" in result.message


def test_a_journal_without_permission_to_write(tmp_path, monkeypatch):
    """A folder without permission to write cannot hold the journal."""
    monkeypatch.setattr(check_peers.os, "access", lambda *_: False)
    assert check_peers._journal(tmp_path / "journal").failure is JournalUnusable


async def test_the_websocket_port_is_reached_at_the_next_address(tmp_path, monkeypatch):
    """If the first address of the exchange swallows connections, the second is tried."""
    two_addresses.resolve(monkeypatch)
    async with Simulator() as kis:
        port = int(kis.websocket_url.rsplit(":", 1)[1])
        given = urls(kis) | {"KIS__WEBSOCKET_URL": f"ws://{two_addresses.NAME}:{port}"}
        with two_addresses.swallowing(port):
            found = await failures(settings_for(tmp_path, **given))
    assert found["WebSocket port"] is None


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("127.0.0.1:1", "127.0.0.1:1 refused the connection: nothing listens there"),
        (
            "nowhere.invalid:1",
            "the host name nowhere.invalid is unknown: correct kis.websocket_url, or the name service",
        ),
    ],
)
async def test_the_cause_of_an_unreachable_websocket_port(place, cause):
    """A WebSocket port that cannot be reached is reported in the words of the feed itself."""
    result = await check_peers._websocket_port(KisSettings(websocket_url=f"ws://{place}"))
    assert (result.message, result.failure) == (cause, NotInTime)


async def test_a_websocket_port_that_swallows_connections(monkeypatch):
    """A port that does not answer in time is reported with that time."""
    monkeypatch.setattr(check_peers, "TCP_SECONDS", 0.2)
    (port,) = free_ports(1)
    with two_addresses.swallowing(port):
        result = await check_peers._websocket_port(KisSettings(websocket_url=f"ws://{two_addresses.SWALLOWS}:{port}"))
    at = f"{two_addresses.SWALLOWS}:{port}"
    assert (result.message, result.failure) == (f"{at}: there was no answer within 0.2 s", NotInTime)


async def test_a_registry_that_breaks_readers_is_reported(tmp_path, registry_url, topic_names):
    """A version that does not fit fails the check; a weak level is told."""
    settings = settings_for(tmp_path, REGISTRY__URL=registry_url, TOPICS__TICKS=topic_names.ticks)
    await registry.register(settings.registry, f"{topic_names.ticks}-value", bond_tick())
    good = await check_peers._registry(settings)
    assert [each.failure for each in good] == [None, None]
    assert "compatibility level NONE accepts schemas that break readers" in good[1].message
    changed = edited(INCOMPATIBLE["long to string"][0])
    await registry.register(settings.registry, f"{topic_names.ticks}-value", changed)
    bad = await check_peers._registry(settings)
    assert [each.message for each in bad if each.failure] == [
        f"{topic_names.ticks}-value version 2 does not fit: CNTG_VOL changes its type from string to long"
    ]
