"""Registrations that the simulated KIS forgets, found by probes over a real socket."""

import time

import jsonschema
import structlog

from simulator import Simulator
from tests.published import EVENT as SCHEMA
from tests.shell.kis.bench import A, B, Bench, until


def registers(kis, code):
    """Return the bonds whose registration KIS answered with this code, in order."""
    return [answer.tr_key for answer in kis.replies if answer.tr_type == "1" and answer.code == code]


def losses(bench):
    """Return the events of lost registrations."""
    return [event for event in bench.events if event["event"] == "registration_lost"]


async def test_forgotten_registrations_are_found_and_told():
    """KIS forgets all bonds, PINGPONG goes on: one probe finds it, and all are made again."""
    async with Simulator(pingpong_seconds=0.1) as kis, Bench(kis, probe_seconds=0.5).running(A, B) as bench:
        await bench.active(A, B)
        bench.ticked_ns[B] = time.time_ns() + 10**9
        kis.faults.set("forget=0.01")
        await until(lambda: not kis.sessions[0].tr_keys)
        kis.faults.clear("forget")
        await until(lambda: len(losses(bench)) == 2, lambda: bench.events)
        assert [event["instrument"] for event in losses(bench)] == [A, B]
        for event in losses(bench):
            jsonschema.validate(event, SCHEMA)
        assert losses(bench)[0]["detail"]["silent_seconds"] > 0.4
        await bench.active(A, B)
        assert set(kis.sessions[0].tr_keys) == {A, B}
        assert len(kis.connects) == 1
        await kis.emit_ticks(A, 3)


async def test_what_kis_holds_is_asked_for_in_turn():
    """Probes of held bonds get OPSP0002, and no event and no other request follows."""
    async with Simulator() as kis, Bench(kis, probe_seconds=0.2).running(A, B) as bench:
        await bench.active(A, B)
        await until(lambda: len(registers(kis, "OPSP0002")) >= 4)
        assert registers(kis, "OPSP0002")[:4] == [A, B, A, B]
        assert len(registers(kis, "OPSP0000")) == 2
        assert losses(bench) == []


async def test_a_closed_market_is_not_probed():
    """While the market is closed, KIS is not asked for bonds that it holds."""
    async with Simulator(pingpong_seconds=0.1) as kis, Bench(kis, probe_seconds=0.1).running(A) as bench:
        bench.is_market_open = False
        await bench.active(A)
        await until(lambda: kis.sessions[0].pingpongs_sent >= 5)
        assert registers(kis, "OPSP0002") == []


async def test_the_end_of_the_probes_is_logged_once():
    """If sessions end just after a probe, probes stop for good, with one line in the log."""
    with structlog.testing.capture_logs() as lines:
        async with Simulator(linger_seconds=0) as kis, Bench(kis, probe_seconds=1.5).running(A) as bench:
            await bench.active(A)
            await until(lambda: registers(kis, "OPSP0002"))
            for connects in (2, 3):
                await kis.drop(0, "no-close-frame")
                await until(lambda connects=connects: len(kis.connects) == connects)
                await bench.active(A)
            assert len(registers(kis, "OPSP0002")) == 1
    stopped = [line for line in lines if line["event"] == "probing_stopped"]
    assert [line["why"] for line in stopped] == ["the session ended (reset) just after a probe"]


async def test_the_last_data_frame_is_dated():
    """The feed knows when the slot's last data frame came, also after its session."""
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        assert bench.feed.last_tick_seconds is None
        await kis.emit_ticks(A, 1)
        await until(lambda: bench.feed.last_tick_seconds is not None)
        received_at = bench.feed.last_tick_seconds
        assert abs(received_at - time.time()) < 60
        await kis.drop(0, "abrupt")
        await until(bench.downs)
        assert bench.feed.last_tick_seconds == received_at
