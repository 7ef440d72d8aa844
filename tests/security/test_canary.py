"""A whole connector beside a KIS that quotes every secret it knows: no output holds one."""

import asyncio
import signal

import pytest
from typer.testing import CliRunner

from connector.cli import app
from simulator import Simulator
from tests.deployment import Deployment
from tests.kafka.reader import read_all

A, B = "KR103502GA34", "KR103502GD31"
APP_KEY, APP_SECRET = "canary-appkey-0123456789", "canary-appsecret-" + "x" * 160


async def _events(own, cause):
    """Wait until a session_down event has this cause."""

    async def is_there():
        return any(event["detail"].get("cause") == cause for event in await own.events())

    await own.until(is_there)


async def _quote_everywhere(own, kis):
    """Make the exchange quote secrets in a reply, a close reason and a header."""
    kis.faults.set("echo=reply")
    kis.faults.set("keep-after-error")
    kis.faults.set(f"reply:{B}=OPSP8992")
    own.write("desk", {"instruments": [A, B]})
    await own.until_state("REJECTED", [B])
    kis.faults.set("echo=close")
    await kis.drop(0, "close=1008")
    await _events(own, "closed")
    await own.until_state("ACTIVE", [A])
    kis.faults.set("echo=handshake")
    await kis.drop(0, "abrupt")
    await _events(own, "handshake")
    kis.faults.clear("echo")
    await own.until_state("ACTIVE", [A])
    return await own.text("/status")


@pytest.mark.kafka
@pytest.mark.parametrize("level", ["info", "debug"])
async def test_no_output_of_a_connector_holds_a_quoted_secret(kafka, topic_names, tmp_path, level):
    """Status records, events, endpoints, `subs ls` and the log hide what KIS quotes."""
    async with Simulator(app_keys=[(APP_KEY, APP_SECRET)], linger_seconds=0) as kis:
        own = Deployment(kis, kafka.bootstrap_servers, topic_names, tmp_path)
        own.create_topics()
        own.environment |= {
            "KIS_BOND_KIS__APPKEY": APP_KEY,
            "KIS_BOND_KIS__APPSECRET": APP_SECRET,
            "KIS_BOND_KIS__RECONNECT_MIN_SECONDS": "1",
            "KIS_BOND_LOG__LEVEL": level,
        }
        own.write("desk", {"instruments": [A]})
        await own.start()
        try:
            await own.until_state("ACTIVE", [A])
            shown = [await _quote_everywhere(own, kis)]
            shown += [await own.text(path) for path in ("/status", "/metrics", "/readyz", "/")]
            listed = await asyncio.to_thread(CliRunner().invoke, app, ["subs", "ls"], env=own.environment)
            keys = [pair for session in kis.sessions for pair in session.registered.values()]
        finally:
            await own.end(signal.SIGTERM)
        kis.faults.set("echo=approval")
        kis.faults.set("approval-error=EGW00103")
        await own.start()
        assert await asyncio.wait_for(own.process.wait(), 60) == 3
        shown += [listed.output, own.log.read_text()]
        secrets = [
            APP_KEY,
            APP_SECRET,
            *kis._approvals._issued,
            *(text for pair in keys for text in (pair.key, pair.iv)),
        ]
    for name in ("status", "events", "dead_letters"):
        shown += [repr(record) for record in read_all(kafka.bootstrap_servers, getattr(topic_names, name))]
    assert listed.exit_code == 0
    assert sum("********" in text for text in shown) > 5
    assert not [secret for secret in secrets for text in shown if secret in text]
