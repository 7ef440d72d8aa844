import asyncio
import time
from itertools import pairwise

import pytest
from aiohttp import web

from connector.core.kis import approval_keys
from connector.core.kis.approval import Granted, Refused, Unavailable
from connector.logs import hide
from connector.shell.kis import approval
from connector.shell.kis.approval import ApprovalService
from connector.shell.kis.credentials import AppKey
from simulator import Simulator
from tests import two_addresses

PAIR = AppKey("canary-appkey", "canary-secret")


async def test_key_is_granted():
    """A good pair gets an approval key."""
    async with Simulator(app_keys=[("canary-appkey", "canary-secret")]) as kis:
        answer = await ApprovalService(kis.approval_url).request(PAIR)
        assert isinstance(answer, Granted)
        assert kis.approvals[0].app_key == 0


@pytest.mark.parametrize("shape", ["gateway", "rt_cd"])
async def test_wrong_pair_is_refused_in_either_shape(shape):
    """A pair KIS does not know is refused for good, whichever shape the error has."""
    async with Simulator(app_keys=[("another", "secret")], error_shape=shape) as kis:
        answer = await ApprovalService(kis.approval_url).request(PAIR)
        assert isinstance(answer, Refused)
        assert answer.code == "EGW00103"


@pytest.mark.parametrize(
    "fault",
    ["approval-down=503", "approval-body=html", "approval-body=empty", "approval-body=huge", "approval-body=cut"],
)
async def test_spoilt_answers_are_survived(fault):
    """A spoilt answer is unavailability, with a message that quotes nothing sent."""
    async with Simulator(faults=[fault]) as kis:
        answer = await ApprovalService(kis.approval_url).request(PAIR)
        assert isinstance(answer, Unavailable)
        assert "canary" not in answer.message


@pytest.mark.parametrize("fault", ["approval-slow=30", "approval-body=drip"])
async def test_slow_answers_are_given_up(fault):
    """A slow answer is given up in time, even one that arrives byte by byte."""
    async with Simulator(faults=[fault]) as kis:
        async with asyncio.timeout(30):
            answer = await ApprovalService(kis.approval_url, timeout_seconds=0.4).request(PAIR)
        assert answer == Unavailable(None, "CRED_APPROVAL: the approval service did not answer within 0.4 s")


async def test_nobody_listening_is_survived():
    """A service that cannot be reached is unavailability."""
    assert isinstance(await ApprovalService("http://127.0.0.1:9/oauth2/Approval").request(PAIR), Unavailable)


async def test_one_request_at_a_time(monkeypatch):
    """Calls for one app key at the same time share one request; a later call makes a new one."""
    monkeypatch.setattr(approval_keys, "KEY_SPACING_SECONDS", 0.0)
    async with Simulator(approval_interval_seconds=0, faults=["approval-slow=0.2"]) as kis:
        service = ApprovalService(kis.approval_url)
        first, second = await asyncio.gather(service.request(PAIR), service.request(PAIR))
        assert first == second
        assert len(kis.approvals) == 1
        assert await service.request(PAIR) != first


async def test_two_keys_of_an_app_key_are_a_minute_apart(monkeypatch):
    """Whoever asks, an app key gets its next key a while after the last one; others do not wait."""
    monkeypatch.setattr(approval_keys, "KEY_SPACING_SECONDS", 0.5)
    async with Simulator(approval_interval_seconds=0) as kis:
        service = ApprovalService(kis.approval_url)
        await service.request(PAIR)
        granted_at = time.monotonic()
        again = asyncio.create_task(service.request(PAIR))
        assert isinstance(await service.request(PAIRS[0]), Granted)
        assert not again.done()
        assert isinstance(await again, Granted)
        assert time.monotonic() - granted_at >= 0.4


async def test_a_key_nobody_waited_for_counts(monkeypatch):
    """A slot that left while it asked, and came back, waits; after a refusal it does not."""
    monkeypatch.setattr(approval_keys, "KEY_SPACING_SECONDS", 2)
    async with Simulator(approval_interval_seconds=0, faults=["approval-slow=0.2"]) as kis:
        service = ApprovalService(kis.approval_url)
        asking, asked_at = asyncio.create_task(service.request(PAIR)), time.monotonic()
        while service._latest is None:
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert isinstance(await service.request(PAIR), Granted)
        assert time.monotonic() - asked_at >= 2.1
        kis.faults.set("approval-error=EGW00103")
        await service.request(PAIR)
        refused_at = time.monotonic()
        await service.request(PAIR)
        assert time.monotonic() - refused_at < 1.9


PAIRS = [AppKey(f"appkey-{number}", "secret") for number in range(8)]


async def ask_until_granted(service, pair):
    """Ask as a feed does, which tries again after a while."""
    while not isinstance(await service.request(pair), Granted):
        await asyncio.sleep(0.3)


async def test_many_app_keys_are_not_held_up_where_kis_counts_each(monkeypatch):
    """Approval keys for eight app keys are requested in turn, without refusal or pause."""
    monkeypatch.setattr(approval, "SPACING_SECONDS", 60)
    async with Simulator() as kis, asyncio.timeout(30):
        service = ApprovalService(kis.approval_url)
        answers = await asyncio.gather(*(service.request(pair) for pair in PAIRS))
        assert all(isinstance(answer, Granted) for answer in answers)


async def test_many_app_keys_cost_one_refusal_where_kis_counts_them_together(monkeypatch):
    """After the first refusal for speed, each call waits for the span that KIS asks for."""
    monkeypatch.setattr(approval, "SPACING_SECONDS", 2.0)  # KIS's second, and one for stalls of this machine
    async with Simulator(approvals_counted="together") as kis:
        service = ApprovalService(kis.approval_url)
        await asyncio.gather(*(ask_until_granted(service, pair) for pair in PAIRS[:4]))
        assert [asked.code for asked in kis.approvals].count("EGW00201") == 1
        times = [asked.at for asked in kis.approvals]
        assert all(later - earlier >= 1e9 for earlier, later in pairwise(times[1:]))


async def test_a_call_without_an_answer_holds_up_the_next_for_a_second(monkeypatch):
    """If the service does not answer, every app key is still tried soon."""
    async with Simulator(faults=["approval-slow=60"]) as kis:
        service, started = ApprovalService(kis.approval_url, timeout_seconds=60), []
        post = service._post

        async def noted(body):
            started.append(time.monotonic())
            return await post(body)

        monkeypatch.setattr(service, "_post", noted)
        calls = [asyncio.create_task(service.request(pair)) for pair in PAIRS[:5]]
        async with asyncio.timeout(30):
            while len(started) < 5:
                await asyncio.sleep(0.01)
        assert not any(call.done() for call in calls)
        pauses = [later - earlier for earlier, later in pairwise(started)]
        assert 1 <= min(pauses) < 2  # noise only adds, so the least one counts
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


async def test_a_call_that_is_given_up_lets_the_next_go(monkeypatch):
    """A cancelled call, waiting or on its way, delays no other call."""
    monkeypatch.setattr(approval, "SPACING_SECONDS", 60)
    async with Simulator(faults=["approval-slow=30"]) as kis:
        service = ApprovalService(kis.approval_url)
        calling, waiting = (asyncio.create_task(service.request(pair)) for pair in PAIRS[:2])
        await asyncio.sleep(0.05)
        for task in (waiting, calling):
            task.cancel()
        kis.faults.clear()
        async with asyncio.timeout(30):
            assert isinstance(await service.request(PAIRS[2]), Granted)


async def test_interrupted_request_frees_those_who_share_it():
    """If the first caller is cancelled, callers that share its request are answered."""
    async with Simulator(faults=["approval-slow=60"]) as kis:
        service = ApprovalService(kis.approval_url, timeout_seconds=60)
        first = asyncio.create_task(service.request(PAIR))
        await asyncio.sleep(0)
        second = asyncio.create_task(service.request(PAIR))
        await asyncio.sleep(0.05)
        first.cancel()
        assert isinstance(await asyncio.wait_for(second, 30), Unavailable)


async def test_redirect_is_not_followed(monkeypatch):
    """A redirect is unavailability: the secret reaches no other host and no proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    went = []

    async def redirect(_):
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async def elsewhere(request):
        went.append(await request.read())
        return web.json_response({"approval_key": "stolen"})

    application = web.Application()
    application.add_routes([web.post("/oauth2/Approval", redirect), web.post("/elsewhere", elsewhere)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        answer = await ApprovalService(f"http://127.0.0.1:{runner.addresses[0][1]}/oauth2/Approval").request(PAIR)
    finally:
        await runner.cleanup()
    assert isinstance(answer, Unavailable)
    assert "307" in answer.message
    assert went == []


@pytest.mark.parametrize("code", ["EGW00103", "EGW00201"])
async def test_a_message_that_quotes_secrets_hides_them(code, monkeypatch):
    """An answer that quotes app key, secret or an approval key keeps its code and other words."""
    monkeypatch.setattr(approval_keys, "KEY_SPACING_SECONDS", 0.0)
    hide(PAIR.appkey, PAIR.appsecret)
    async with Simulator(approval_interval_seconds=0) as kis:
        service = ApprovalService(kis.approval_url)
        granted = await service.request(PAIR)
        for fault in (f"approval-error={code}", "echo=approval"):
            kis.faults.set(fault)
        answer = await service.request(PAIR)
    assert answer.code == code
    assert answer.message.endswith("******** ******** ********")
    assert granted.approval_key not in answer.message


async def test_a_swallowed_call_is_tried_at_the_next_address(monkeypatch):
    """If the first address of the service swallows connections, the second answers soon."""
    two_addresses.resolve(monkeypatch)
    async with Simulator() as kis:
        port = int(kis.approval_url.rsplit(":", 1)[1].partition("/")[0])
        with two_addresses.swallowing(port):
            async with asyncio.timeout(30):
                answer = await ApprovalService(kis.approval_url.replace("127.0.0.1", two_addresses.NAME)).request(PAIR)
    assert isinstance(answer, Granted)
