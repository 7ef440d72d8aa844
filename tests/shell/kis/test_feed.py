import asyncio

import pytest

from simulator import Simulator
from tests.shell.kis.bench import A, B, Bench, C, until
from tests.wall_time import is_within, seconds_of


async def test_bonds_become_active_and_ticks_are_journalled():
    """Wanted bonds are registered, and the journal gets every data frame unchanged and in order."""
    async with Simulator() as kis, Bench(kis).running(A, B) as bench:
        await bench.active(A, B)
        assert set(kis.sessions[0].tr_keys) == {A, B}
        await kis.emit_ticks(A, 500)
        await until(lambda: len(bench.journal.raw) == 500)
        assert [raw.decode().split("|", 3)[3] for raw in bench.journal.raw] == [
            record.raw for sent in kis.sent for record in sent.records
        ]
        assert [event["event"] for event in bench.events] == ["session_up"]
        frame = bench.journal.frames[0]
        assert (frame.slot, frame.binary) == (0, False)
        assert frame.session < frame.received_ns


async def test_list_changes_while_it_runs():
    """A bond added is registered and one removed is released on the same connection."""
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        bench.feed.want([B])
        await bench.active(B)
        await until(lambda: kis.sessions[0].tr_keys == (B,))
        assert len(kis.connects) == 1


@pytest.mark.parametrize("how", ["no-close-frame", "abrupt", "close=1000", "close=1001", "close=1011", "close=1012"])
async def test_ended_session_is_replaced(how):
    """However a session ends, its frames are journalled, and a new one registers all bonds."""
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        await kis.emit_ticks(A, 20)
        if how == "abrupt":
            await until(lambda: len(bench.journal.raw) == 20)
        await kis.drop(0, how)
        await until(lambda: len(kis.connects) == 2, lambda: bench.events)
        await bench.active(A)
        assert len(bench.journal.raw) == 20
        down = next(event["detail"] for event in bench.events if event["event"] == "session_down")
        assert down["cause"] == ("closed" if how.startswith("close=") else "reset")
        if how.startswith("close="):
            assert down["code"] == how.removeprefix("close=")
        assert down["connected_seconds"] > 0


async def test_buffered_frames_are_read_to_the_end():
    """Frames that arrived before the end are journalled even if the reader was slow."""
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        bench.journal.is_overdue = True
        bench.journal.gate.clear()
        await kis.emit_ticks(A, 300)
        await until(lambda: len(bench.journal.raw) == 1)
        await kis.drop(0, "no-close-frame")
        bench.journal.gate.set()
        await until(lambda: len(bench.journal.raw) == 300, lambda: len(bench.journal.raw))


async def test_pingpong_is_echoed_as_the_identical_text():
    """PINGPONG comes back as an identical text frame, and is not journalled."""
    async with Simulator(pingpong_seconds=0.1, ping="strict") as kis, Bench(kis).running(A) as bench:
        await until(lambda: kis.sessions and len(kis.sessions[0].pongs) >= 3)
        assert all(pong.identical and pong.opcode == "text" for pong in kis.sessions[0].pongs)
        assert bench.journal.raw == []
        assert len(kis.connects) == 1


async def test_silent_session_is_replaced():
    """A silent session is replaced after the silence timeout."""
    async with Simulator() as kis, Bench(kis, silence_timeout_seconds=1.0).running(A) as bench:
        await bench.active(A)
        kis.faults.set("silent")
        await until(lambda: "silence" in bench.downs(), lambda: bench.events, seconds=30)
        kis.faults.clear("silent")
        await bench.active(A)


async def test_app_key_in_use_blocks_and_waits():
    """OPSP8996 blocks the slot, which tries again after long waits until the app key is free."""
    async with Simulator(app_keys=[("appkey0", "secret")]) as kis, Bench(kis).running(A) as first:
        await first.active(A)
        async with Bench(kis, approve=first.feed._key_supply._request, in_use_wait_seconds=0.2).running(B) as second:
            second.feed._key_supply.keys = first.feed._key_supply.keys
            await until(lambda: second.feed.view.state == "BLOCKED")
            assert second.feed.view.code == "OPSP8996"
            await asyncio.wait_for(first.feed.stop(), 30)
            await second.active(B)
            assert set(second.downs()) == {"in_use"}


async def test_accept_then_close_is_no_knocking():
    """If a server accepts and closes at once, the feed backs off and makes no loop."""
    async with Simulator(faults=["close-at-once"]) as kis:
        async with Bench(kis, reconnect_min_seconds=0.2, reconnect_max_seconds=12).running(A) as bench:
            await asyncio.sleep(2.0)  # the span in which attempts are counted
            assert len(kis.connects) <= 5
            await until(lambda: len(kis.connects) >= 2)
        assert bench.feed.connects["start"] == 1


@pytest.mark.parametrize("status", [401, 503])
async def test_refused_handshake_is_retried(status):
    """A refused handshake is one event, shows its HTTP status, and is tried again."""
    async with Simulator(faults=[f"handshake={status}"]) as kis, Bench(kis).running(A) as bench:
        await until(lambda: len(kis.connects) >= 3)
        assert (bench.feed.view.state, bench.feed.view.code) == ("CONNECTING", str(status))
        assert bench.feed.connect_failures >= 2
        await until(lambda: bench.feed.connect_wait_seconds > 0)
        assert bench.downs() == ["handshake"]
        kis.faults.clear()
        await bench.active(A)
        assert bench.feed.connect_wait_seconds == 0
        assert 0 <= bench.feed.approval_key_age_seconds < 60


async def test_registration_limit_is_learned():
    """If KIS has no more room, the other bonds wait, and the limit is what KIS confirmed."""
    async with Simulator(capacity=2) as kis, Bench(kis).running(A, B, C) as bench:
        await until(lambda: bench.state(C) == "WAITING_CAPACITY", lambda: bench.feed.view)
        assert bench.feed.capacity == 2
        assert bench.feed.view.registrations[C].code == "OPSP0008"
        assert bench.feed.view.registered == 2


async def test_refused_bond_is_rejected_and_the_rest_flows():
    """A refused bond is REJECTED with KIS's code, and the session goes on for the others."""
    async with Simulator(faults=[f"reply:{B}=OPSP8992", "keep-after-error"]) as kis, Bench(kis).running(A, B) as bench:
        await until(lambda: bench.state(B) == "REJECTED")
        await bench.active(A)
        kis.faults.clear()
        bench.feed.retry_rejected([B])
        await bench.active(A, B)
        assert len(kis.connects) == 1


async def test_lost_replies_are_asked_for_again():
    """If replies get lost, every bond is still confirmed in the end."""
    async with (
        Simulator(faults=["lost-replies=2"]) as kis,
        Bench(kis, reply_timeout_seconds=0.2).running(A, B, C) as bench,
    ):
        await bench.active(A, B, C)
        assert len(kis.connects) == 1


async def test_nothing_wanted_opens_nothing():
    """The first wanted bond opens a connection, and an empty list closes it."""
    async with Simulator() as kis, Bench(kis).running() as bench:
        assert bench.feed.view.state == "IDLE"
        bench.feed.want([A])
        await bench.active(A)
        bench.feed.want([])
        await until(lambda: not bench.feed.session_up, lambda: bench.events)
        assert [answer.tr_type for answer in kis.replies] == ["1", "2"]
        assert bench.feed.view.state == "IDLE"
        assert len(kis.connects) == 1


async def test_stop_releases_and_closes():
    """A stop releases every bond at the usual pace, closes with a close frame, and ends the run."""
    async with Simulator() as kis, Bench(kis).running(A, B) as bench:
        await bench.active(A, B)
        await asyncio.wait_for(bench.feed.stop("lease"), 30)
        assert [answer.tr_type for answer in kis.replies] == ["1", "1", "2", "2"]
        assert bench.downs() == ["lease"]


async def test_stop_is_bounded():
    """A stop ends in time although KIS no longer answers."""

    async def stop():
        async with Simulator() as kis, Bench(kis).running(A) as bench:
            await bench.active(A)
            kis.faults.set("silent")
            return await seconds_of(asyncio.wait_for(bench.feed.stop(), 30))

    assert await is_within(6.5, stop)


@pytest.mark.parametrize("fault", ["approval-slow=30", "handshake=503"])
async def test_stop_before_a_session(fault):
    """A stop during the approval call or the back-off ends at once."""
    async with (
        Simulator(faults=[fault]) as kis,
        Bench(kis, reconnect_min_seconds=20, reconnect_max_seconds=60).running(A) as bench,
    ):
        await asyncio.sleep(0.2)  # into the call, or the back-off
        await asyncio.wait_for(bench.feed.stop(), 5)  # half of what the call may take
