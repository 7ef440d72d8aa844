import asyncio
from types import SimpleNamespace

import pytest

from connector.core.kis.approval import Granted, Refused
from connector.core.kis.approval_keys import KEY_SPACING_SECONDS
from connector.errors import ConfigurationError
from connector.settings import KisSettings
from connector.shell.kis.credentials import AppKey
from connector.shell.kis.key_supply import KeySupply
from simulator import Simulator
from tests.shell.kis.bench import A, B, Bench, until


async def test_an_app_key_refused_while_an_approval_key_is_kept_is_tried_again(monkeypatch):
    """After a refusal the service is asked again although an approval key is still young enough."""
    monkeypatch.setattr("connector.core.kis.approval_keys.KEY_SPACING_SECONDS", 0.0)
    async with Simulator(approval_interval_seconds=0) as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        kis.expire_approvals()
        kis.faults.set("approval-error=EGW00103")
        await kis.drop(0, "close=1001")
        await until(lambda: bench.feed.refused)
        bench.feed.want([])
        asked = len(kis.approvals)
        await until(lambda: len(kis.approvals) > asked)
        kis.faults.clear()
        await until(lambda: bench.feed.capacity == 41)
        bench.feed.want([A])
        await bench.active(A)


async def test_unknown_approval_key_is_replaced_on_the_same_socket(monkeypatch):
    """After OPSP0011 the request is repeated with a new approval key on the same connection."""
    monkeypatch.setattr("connector.core.kis.approval_keys.KEY_SPACING_SECONDS", 0.0)
    async with Simulator(approval_interval_seconds=0, faults=["friendly-refusal"]) as kis:
        bench = Bench(kis)
        bench.feed._key_supply.keys.issued("stale", asyncio.get_running_loop().time())
        async with bench.running(A):
            await bench.active(A)
            assert (len(kis.connects), len(kis.approvals)) == (1, 1)


async def test_a_key_refused_by_the_last_words_of_a_connection_is_not_used_again(monkeypatch):
    """KIS refuses a key and ends TCP, as recorded: the cause is told, and a new key is used."""
    monkeypatch.setattr("connector.core.kis.approval_keys.KEY_SPACING_SECONDS", 3.0)
    async with Simulator(approval_interval_seconds=0) as kis:
        bench = Bench(kis)
        bench.feed._key_supply.keys.issued("stale", asyncio.get_running_loop().time())
        async with bench.running(A):
            await bench.active(A)
            assert (len(kis.connects), len(kis.approvals)) == (2, 1)
            [down] = [event["detail"] for event in bench.events if event["event"] == "session_down"]
            assert (down["cause"], down["code"]) == ("approval", "OPSP0011")


async def test_a_refused_key_is_not_used_again_after_any_end(monkeypatch):
    """A list that is emptied and filled while the next key is awaited does not bring it back."""
    monkeypatch.setattr("connector.core.kis.approval_keys.KEY_SPACING_SECONDS", 2.0)
    monkeypatch.setattr("connector.core.kis.session.LINGER_SECONDS", 0.0)
    async with Simulator(approval_interval_seconds=0, faults=["friendly-refusal"]) as kis:
        bench = Bench(kis)
        bench.feed._key_supply.keys.issued("stale", asyncio.get_running_loop().time())
        async with bench.running(A):
            await until(lambda: bench.state(A) == "PENDING" and bench.feed.view.registrations[A].code)
            bench.feed.want([])
            await until(lambda: bench.downs() == ["stop"])
            bench.feed.want([A])
            await bench.active(A)
            assert [reply.code for reply in kis.replies] == ["OPSP0011", "OPSP0000"]


async def test_a_key_burnt_by_an_unclean_end_is_replaced(monkeypatch):
    """KIS refuses the key of a session that was cut off; the feed returns with a new one."""
    monkeypatch.setattr("connector.core.kis.approval_keys.KEY_SPACING_SECONDS", 0.5)
    async with Simulator(approval_interval_seconds=0, faults=["burn-key"]) as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        await kis.drop(0)
        await until(lambda: bench.downs() == ["reset", "approval"])
        await bench.active(A)
        assert (len(kis.connects), len(kis.approvals)) == (3, 2)


async def test_two_approval_keys_are_a_minute_apart():
    """An unknown key is not replaced within a minute of its issue."""
    async with Simulator(approval_interval_seconds=0) as kis, Bench(kis).running() as bench:
        kis.faults.set("reply:*=OPSP0011")
        bench.feed.want([A])
        await until(lambda: kis.replies)
        bench.feed.want([A, B])
        await asyncio.sleep(0.3)  # a span in which nothing may happen
        assert len(kis.approvals) == 1


async def test_approval_key_is_reused():
    """A new connection reuses the approval key while it is young enough."""
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        for _ in range(2):
            await bench.active(A)
            await kis.drop(0)
            await until(lambda: not bench.feed.session_up)
        await bench.active(A)
        assert len(kis.approvals) == 1


@pytest.mark.parametrize(
    "fault", ["approval-down=503", "approval-body=html", "approval-error=EGW00201", "approval-down=429"]
)
async def test_approval_trouble_is_retried(fault):
    """If the approval service fails, an event says so, and the service is asked again."""
    async with Simulator(faults=[fault]) as kis, Bench(kis).running(A) as bench:
        await until(lambda: bench.downs() == ["approval"])
        assert bench.feed.view.state == "CONNECTING"
        assert kis.connects == []
        kis.faults.clear()
        await bench.active(A)


async def test_refused_app_key_is_blocked_and_tried_again():
    """A refused app key blocks the slot; a corrected app key frees it, even with an empty list."""
    async with Simulator(faults=["approval-error=EGW00103"]) as kis, Bench(kis).running(A) as bench:
        await until(lambda: bench.downs() == ["refused"])
        assert "EGW00103" in str(bench.feed.refused)
        assert (bench.feed.view.state, bench.feed.capacity) == ("BLOCKED", 0)
        bench.feed.want([])
        kis.faults.clear()
        await until(lambda: bench.feed.capacity == 41)
        assert bench.feed.refused is None
        assert kis.connects == []
        bench.feed.want([A])
        await bench.active(A)


async def test_rotated_credentials_are_used_at_the_next_connect():
    """The next connection uses a rotated pair; an unreadable pair leaves the old one in use."""
    pairs = [AppKey("old", "secret")]
    seen = []

    def read(_):
        if pairs[0] is None:
            raise ConfigurationError(["appkey-0: is empty"])
        return pairs[0]

    async def approve(app_key):
        seen.append(app_key.appkey)
        return Granted(f"for-{app_key.appkey}")

    async with Simulator() as kis:
        kis._exchange._approvals.app_key_of = lambda key, _: 0 if key.startswith("for-") else None
        async with Bench(kis, approve=approve, credentials=read).running(A) as bench:
            await bench.active(A)
            for pair in (None, AppKey("new", "secret")):
                pairs[0] = pair
                assert len(kis.sessions) == 1
                connects = len(kis.connects)
                await kis.drop(0)
                await until(lambda connects=connects: len(kis.connects) == connects + 1)
                await bench.active(A)
            assert seen == ["old", "new"]


async def test_missing_credentials_are_waited_for():
    """Without a readable pair the slot keeps trying and names the file."""

    def read(_):
        raise ConfigurationError(["appkey-0: was not found"])

    async with Simulator() as kis, Bench(kis, credentials=read).running(A) as bench:
        await until(lambda: bench.downs() == ["approval"])
        assert bench.feed.view.message == "appkey-0: was not found"


async def test_refused_renewal_leaves_flowing_bonds_alone(monkeypatch):
    """If its next approval key is refused, an open session goes on with the bonds it has."""
    monkeypatch.setattr("connector.core.kis.approval_keys.KEY_SPACING_SECONDS", 0.0)
    answers = iter([Granted("first")])

    async def approve(_):
        return next(answers, Refused("EGW00103", "no"))

    async with Simulator() as kis:
        kis._exchange._approvals.app_key_of = lambda *_: 0
        async with Bench(kis, approve=approve, approval_reuse_hours=2 / 3600).running(A) as bench:
            await bench.active(A)
            await asyncio.sleep(2.1)  # past the key's age
            bench.feed.want([A, B])
            await asyncio.sleep(0.3)
            await kis.emit_ticks(A, 3)
            await until(lambda: len(bench.journal.raw) == 3)
            assert (bench.state(A), bench.state(B), len(kis.connects)) == ("ACTIVE", "PENDING", 1)


async def test_a_key_asked_for_when_the_connection_ended_counts_as_issued():
    """KIS may have issued the key all the same, so the next one is asked for a minute later."""
    asked = asyncio.Event()

    async def never_answer(_):
        asked.set()
        await asyncio.Event().wait()

    supply = KeySupply(SimpleNamespace(slot=0), KisSettings(), lambda _: AppKey("a", "b"), never_answer)
    asking = asyncio.create_task(supply.key())
    await asked.wait()
    now = asyncio.get_running_loop().time()
    asking.cancel()
    await asyncio.wait([asking])
    assert supply.keys.next_issue_at >= now + KEY_SPACING_SECONDS
