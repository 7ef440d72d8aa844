"""KIS may quote our secrets in its texts: none of them is shown anywhere."""

import asyncio
import json
import time

import pytest
from structlog.testing import capture_logs

from connector.core.kis.approval import Refused
from connector.logs import clean, hide
from connector.settings import load
from connector.shell.kis.approval import ApprovalService
from connector.shell.kis.credentials import AppKey, Credentials
from connector.shell.kis.socket import why_not_open
from simulator import Simulator
from tests.shell.kis.bench import A, B, Bench, until

PAIR = AppKey("canary-appkey-0123456789", "canary-appsecret-" + "x" * 160)


def shown(bench, logs):
    """Return everything a feed gives to status records, events, pages and logs."""
    return repr((bench.feed.view, bench.events, str(bench.feed.refused), logs))


async def _replies(kis, bench):
    kis.faults.set("echo=reply")
    kis.faults.set("keep-after-error")
    kis.faults.set(f"reply:{B}=OPSP8992")
    bench.feed.want([A, B])
    await until(lambda: bench.state(B) == "REJECTED")
    return bench.feed.view.registrations[B].message


async def _refused_key(kis, bench):
    kis.faults.set("echo=reply")
    kis.faults.set("reply:*=OPSP0011")
    bench.feed.want([A, B])
    await until(lambda: bench.feed.view.registrations[B].code == "OPSP0011")
    return bench.feed.view.registrations[B].message


async def _close_reasons(kis, bench):
    kis.faults.set("echo=close")
    await kis.drop(0, "close=1008")
    await until(lambda: "closed" in bench.downs())
    return bench.events[-1]["detail"]["message"]


async def _handshake_headers(kis, bench):
    kis.faults.set("echo=handshake")
    await kis.drop(0, "abrupt")
    await until(lambda: "handshake" in bench.downs())
    return bench.feed.view.message


async def _approval_errors(kis, bench):
    kis.faults.set("echo=approval")
    kis.faults.set("approval-error=EGW00103")
    bench.feed._key_supply.keys.discard()
    await kis.drop(0, "abrupt")
    await until(lambda: "refused" in bench.downs())
    return bench.feed.view.message


@pytest.mark.parametrize("quote", [_replies, _refused_key, _close_reasons, _handshake_headers, _approval_errors])
async def test_no_quoted_secret_is_shown(quote, monkeypatch):
    """A secret quoted in a reply, close reason, header or approval error is shown nowhere."""
    monkeypatch.setattr("connector.core.kis.approval_keys.KEY_SPACING_SECONDS", 0.0)
    hide(PAIR.appkey, PAIR.appsecret)
    async with Simulator(app_keys=[(PAIR.appkey, PAIR.appsecret)], approval_interval_seconds=0) as kis:
        with capture_logs() as logs:
            async with Bench(kis, credentials=lambda _: PAIR).running(A) as bench:
                await bench.active(A)
                keys = kis.sessions[0].keys(A)
                approvals = [*kis._approvals._issued]
                message = await quote(kis, bench)
                everything = shown(bench, logs)
    assert "********" in message
    assert len(message) <= 300
    for secret in (PAIR.appkey, PAIR.appsecret, keys.key, keys.iv, *approvals, *kis._approvals._issued):
        assert secret not in everything


async def test_a_reply_that_quotes_its_own_key_shows_nothing():
    """The AES key and IV of a reply are hidden in the texts of that same reply."""
    key, iv = "canarycanarycanarycanarycanaryca", "canary-of-an-iv-"
    body = {"rt_cd": "1", "msg_cd": iv, "msg1": f"{'x' * 180}{key}", "output": {"key": key, "iv": iv}}
    with capture_logs() as logs:
        async with Simulator(faults=["lost-replies=1"]) as kis, Bench(kis).running(A) as bench:
            await until(lambda: kis.replies)
            await kis.emit(json.dumps({"header": {"tr_id": "H0BJCNT0", "tr_key": A}, "body": body}))
            await until(lambda: bench.state(A) == "REJECTED")
            everything = shown(bench, logs)
    assert "canary" not in everything
    assert bench.feed.view.registrations[A].code == "********"


async def test_a_long_handshake_error_is_cut():
    """A peer's text in a handshake error is cut before it is shown, whatever its length."""
    _, message = await why_not_open(ValueError("word " * 2000), "ws://127.0.0.1:21000")
    assert len(message) <= 300


async def test_check_shows_no_secret(tmp_path):
    """The app key pair that `check` reads is hidden in what the approval service answers."""
    pair = AppKey("canary-of-check-appkey", "canary-of-check-secret")
    (tmp_path / "appkey-0").write_text(pair.appkey)
    (tmp_path / "appsecret-0").write_text(pair.appsecret)
    credentials = Credentials(load(None, {"KIS_BOND_KIS__CREDENTIALS_DIR": str(tmp_path)}).kis)
    async with Simulator(faults=["echo=approval", "approval-error=EGW00103"]) as kis:
        answer = await ApprovalService(kis.approval_url).request(credentials.read(0))
    assert isinstance(answer, Refused)
    assert "canary" not in answer.message
    assert clean(f"{pair.appkey} {pair.appsecret}") == "******** ********"


@pytest.mark.parametrize("header", ["_" * 700, "_" * 7000, 'token="' + "\\" * 7000, "token=" * 1000])
async def test_a_long_handshake_header_holds_nothing_up(header):
    """A hostile handshake header costs no more than a moment and leaves a short message."""
    async with Simulator(faults=["echo=handshake"]) as kis, Bench(kis).running() as bench:
        kis._approvals._issued[header] = None
        bench.feed._key_supply.keys.issued("stale", asyncio.get_running_loop().time())
        started = time.thread_time()
        bench.feed.want([A])
        await until(lambda: "handshake" in bench.downs())
        took = time.thread_time() - started
        assert took < 1
        assert len(bench.feed.view.message) <= 300
