"""A whole connector beside a KIS that quotes every secret it knows: no output holds one."""

import asyncio
import base64
import signal

import pytest
from typer.testing import CliRunner

from connector.cli import app
from simulator import Simulator
from tests.deployment import Deployment
from tests.kafka.reader import read_all
from tests.shell.delivery.frames import record

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


async def _quote_in_frames(own, kis):
    """Send messages that are no good data frames, with secrets in them; then a good tick."""

    async def is_registered():
        return kis.sessions and ("H0BJCNT0", A) in kis.sessions[-1].registered

    await own.until(is_registered)  # the status may still be that of the session before
    approval, pair = kis._approvals.latest, kis.sessions[-1].registered["H0BJCNT0", A]
    secrets = (approval, APP_KEY, APP_SECRET, pair.key, pair.iv)
    texts = [
        *(f"invalid approval : {secret}" for secret in secrets),
        *(f"{secret}|x|y|z" for secret in secrets),
        *(f"0|H0BJCNT0|001|{secret}" for secret in secrets),
        *(f"0|H0BJCNT0|001|{record(A, price=secret)}" for secret in secrets),
        f"<p>approval_key={approval.replace('-', '%2D')}</p>\r\n<p>{approval[:20]}\r\n  {approval[20:]}</p>",
        f"Basic {base64.b64encode(f'{APP_KEY}:{APP_SECRET}'.encode()).decode()}",
        f"0|H0BJCNT0|\u00ad{approval[:9]}\u200b{approval[9:]}|z",
    ]
    for text in texts:
        await kis.emit(text)
    await kis.emit(approval, binary=True)

    async def are_there():
        return len(await own.records(own.names.dead_letters)) > len(texts)

    await own.until(are_there)
    await kis.emit_ticks(A)
    await own.until_delivered()


def _asked(own, *arguments):
    """Return what a command prints."""
    return CliRunner().invoke(app, arguments, env=own.environment).output


@pytest.mark.kafka
@pytest.mark.parametrize(("level", "form"), [("info", "json"), ("debug", "json"), ("info", "console")])
async def test_no_output_of_a_connector_holds_a_quoted_secret(kafka, topic_names, tmp_path, level, form):
    """Status, events, dead letters, endpoints, commands and the log hide what KIS quotes."""
    async with Simulator(app_keys=[(APP_KEY, APP_SECRET)], linger_seconds=0) as kis:
        own = Deployment(kis, kafka.bootstrap_servers, topic_names, tmp_path)
        own.create_topics()
        own.environment |= {
            "KIS_BOND_KIS__APPKEY": APP_KEY,
            "KIS_BOND_KIS__APPSECRET": APP_SECRET,
            "KIS_BOND_KIS__RECONNECT_MIN_SECONDS": "1",
            "KIS_BOND_LOG__LEVEL": level,
            "KIS_BOND_LOG__FORMAT": form,
        }
        own.write("desk", {"instruments": [A]})
        await own.start()
        try:
            await own.until_state("ACTIVE", [A])
            shown = [await _quote_everywhere(own, kis)]
            await _quote_in_frames(own, kis)
            shown += [await own.text(path) for path in ("/status", "/metrics", "/readyz", "/")]
            listed = await asyncio.to_thread(CliRunner().invoke, app, ["subs", "ls"], env=own.environment)
            shown += [
                await asyncio.to_thread(_asked, own, *command)
                for command in (("subs", "ls", "--json"), ("tail", "--from-beginning", "--count", "1", "--json"))
            ]
            keys = [pair for session in kis.sessions for pair in session.registered.values()]
        finally:
            await own.end(signal.SIGTERM)
        kis.faults.set("echo=approval")
        kis.faults.set("approval-error=EGW00103")
        shown += [await asyncio.to_thread(_asked, own, "check", "--connect", *as_json) for as_json in ([], ["--json"])]
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
    assert not [
        start for start in (approval[:9] for approval in kis._approvals._issued) for text in shown if start in text
    ]
