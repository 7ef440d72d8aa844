"""The connector from KIS to Kafka, on real parts: ticks, outages, kills, stops."""

import asyncio
import json
import os
import signal
import time
from collections import defaultdict

import pytest

from connector.app import opened
from connector.core.bonds.isin import with_check_digit
from connector.core.ticks.avro import TickEncoder
from connector.core.ticks.frame import Received
from connector.settings import load
from connector.shell.delivery.lane import Lane
from connector.shell.journal import Journal
from tests.app.arrival import assert_all_arrived, identities
from tests.app.settings import settings_of_one

ISINS = [with_check_digit(f"KR10350{number:04d}") for number in range(60)]
A, B, C = ISINS[:3]
WRONG = f"{A[:-1]}{9 - int(A[-1])}"  # a check digit is never its own complement to nine


async def _sent_at_least(own, count):
    return len(own.kis.sent) >= count


async def _nothing_pending(own):
    _, status = await own.ask("/status")
    return bool(status) and status["frames"]["pending"] == 0 and status["frames"]["received"] > 0


async def _true_from(at):
    return time.monotonic() >= at


async def _pending(own, count):
    _, status = await own.ask("/status")
    return bool(status) and status["frames"]["pending"] == count


async def _registered(own, isins):
    return [set(session.tr_keys) for session in own.kis.sessions] == [isins]


async def _connected(own, times):
    return len(own.kis.connects) == times and await _registered(own, {A, B})


async def test_every_tick_sent_is_in_the_topic_once(deploy):
    """Another client reads exactly what the exchange sent, in order for each bond."""
    async with deploy(rate=400) as own:
        own.write("desk", {"instruments": ISINS[:12]})
        await own.start()
        await own.until_ready()
        await own.until_state("ACTIVE", ISINS[:12])
        await asyncio.sleep(3)  # the market's time, nothing is waited for
        own.kis.rate = 0
        await own.until_delivered()
        assert await own.end() == 0
        ticks = await own.ticks()
        assert len(ticks) > 500
        assert len({tick["tick_id"] for tick in ticks}) == len(ticks)
        assert_all_arrived(own.kis, ticks)
        assert "topics_not_looked_at" not in own.log.read_text()


async def test_malformed_frames_become_dead_letters_with_the_reason_the_exchange_expects(deploy):
    """Good frames arrive; each kind of bad frame becomes a dead letter with its raw bytes."""
    async with deploy(rate=200, faults=("malformed=4",)) as own:
        own.write("desk", {"instruments": ISINS[:4]})
        await own.start()
        await own.until_state("ACTIVE", ISINS[:4])
        await asyncio.sleep(2)  # the market's time
        own.kis.rate = 0
        own.kis.faults.clear()
        own.kis.faults.set("encrypted")
        await own.kis.emit_ticks(A, 5, per_frame=5)
        await own.until_delivered()
        _, status = await own.ask("/status")
        assert await own.end() == 0
        expected = defaultdict(int)
        for frame in own.kis.sent:
            for reason in [frame.reason, *(record.reason for record in frame.records)]:
                if reason:
                    expected[reason] += 1
        letters = await own.records(own.names.dead_letters)
        found = defaultdict(int)
        for letter in letters:
            found[letter.header("reason")] += 1
        assert found == expected
        assert len(expected) > 5
        assert status["ticks"]["dead_letters"] == found
        assert_all_arrived(own.kis, await own.ticks())
        raws = {frame.raw for frame in own.kis.sent if (frame.reason or "").startswith(("FRAME_", "DECRYPT_"))}
        assert raws <= {letter.value for letter in letters}


async def test_a_kill_in_mid_stream_loses_nothing_journalled(deploy):
    """After five kills under load every journalled tick arrives; its copies share one identity."""
    async with deploy(rate=500, linger_seconds=0) as own:
        own.write("desk", {"instruments": ISINS[:8]})
        received = 0
        for _ in range(5):
            await own.start()
            await own.until_state("ACTIVE", ISINS[:8])
            before = len(own.kis.sent)
            await own.until(lambda before=before: _sent_at_least(own, before + 200))
            await own.end(signal.SIGKILL)
        own.kis.rate = 0
        await own.start()
        await own.until_ready()
        await own.until(lambda: _nothing_pending(own))
        _, status = await own.ask("/status")
        received = status["frames"]["received"]
        assert await own.end() == 0
        ticks = await own.ticks()
        by_identity = defaultdict(set)
        for tick in ticks:
            by_identity[tick["tick_id"]].add((tick["STND_ISCD"], tick["ACML_VOL"], tick["received_at"]))
        assert len(by_identity) == received
        assert all(len(copies) == 1 for copies in by_identity.values())
        assert set(by_identity) <= set().union(*identities(own.kis))
        first_copies = defaultdict(dict)
        for tick in ticks:
            first_copies[tick["STND_ISCD"]].setdefault(tick["ACML_VOL"], None)
        assert all(list(volumes) == sorted(volumes) for volumes in first_copies.values())


@pytest.mark.timeout(240)
async def test_kafka_away_for_fifteen_seconds_costs_nothing(deploy, own_kafka):
    """While the brokers are down the feed goes on; later every tick arrives in order."""
    async with deploy(cluster=own_kafka, rate=200) as own:
        own.write("desk", {"instruments": ISINS[:8]})
        await own.start()
        await own.until_state("ACTIVE", ISINS[:8])
        await asyncio.to_thread(own_kafka.stop)
        back_at = time.monotonic() + 15
        await own.until(lambda: _true_from(back_at), 40)
        assert (await own.ask("/livez"))[0] == 200
        assert (await own.ask("/readyz"))[0] == 200
        _, status = await own.ask("/status")
        assert status["frames"]["pending"] > 2000
        await asyncio.to_thread(own_kafka.start)
        own.kis.rate = 0
        await own.until_delivered(90)
        assert len(own.kis.connects) == 1
        assert own.kis.stats.max_stall_seconds == 0
        assert await own.end() == 0
        assert_all_arrived(own.kis, await own.ticks())


async def test_a_stop_with_kafka_away_ends_with_six_and_keeps_the_frames(deploy, own_kafka):
    """Frames that cannot be delivered in time stay in the journal, and the exit code is 6."""
    async with deploy(cluster=own_kafka) as own:
        own.environment["KIS_BOND_DELIVERY__STOP_DEADLINE_SECONDS"] = "1"
        own.write("desk", {"instruments": [A]})
        await own.start()
        await own.until_state("ACTIVE", [A])
        await asyncio.to_thread(own_kafka.stop)
        await own.kis.emit_ticks(A, 5)
        await own.until(lambda: _pending(own, 5))
        assert await own.end() == 6
        await asyncio.to_thread(own_kafka.start)
        await own.start()
        await own.until(lambda: _nothing_pending(own))
        await own.until_state("ACTIVE", [A])
        assert await own.end() == 0
        assert_all_arrived(own.kis, await own.ticks())
        # The status record could not say that the session had ended, but nobody was killed.
        events = [json.loads(record.value) for record in await own.records(own.names.events)]
        assert [event["detail"]["cause"] for event in events if event["event"] == "session_down"] == ["stop", "stop"]


async def test_a_journal_of_garbage_is_cut_and_capturing_goes_on(deploy):
    """A segment of garbage is reported and removed, and a new one takes the ticks."""
    async with deploy() as own:
        segment = own.journal / "00000000000000000001.log"
        own.journal.mkdir(mode=0o700, parents=True)
        segment.write_bytes(os.urandom(65536))
        own.write(A, {})
        await own.start()
        await own.until_state("ACTIVE", [A])
        await own.kis.emit_ticks(A, 3)
        await own.until_delivered()
        assert await own.end() == 0
        assert "journal_tail_cut" in own.log.read_text()


async def test_a_dropped_session_is_told_and_rebuilt(deploy):
    """After a reset the connector registers everything again and publishes both events."""
    async with deploy() as own:
        own.environment["KIS_BOND_KIS__RECONNECT_MIN_SECONDS"] = "0.1"
        own.write("desk", {"instruments": [A, B]})
        await own.start()
        await own.until_state("ACTIVE", [A, B])
        await own.kis.drop(how="abrupt")
        await own.until(lambda: _connected(own, 2))
        await own.until_state("ACTIVE", [A, B])
        assert await own.end() == 0
        events = [json.loads(record.value) for record in await own.records(own.names.events)]
        events = [event for event in events if event["event"].startswith("session")]
        found = [(event["event"], event["detail"].get("cause")) for event in events]
        assert found == [
            ("session_up", None),
            ("session_down", "reset"),
            ("session_up", None),
            ("session_down", "stop"),
        ]


async def test_a_killed_session_is_closed_by_the_next_start(deploy):
    """After a kill the next start reports the end of the old session; after a stop it does not."""
    async with deploy(linger_seconds=0) as own:
        own.write("desk", {"instruments": [A, B]})
        await own.start()
        await own.until_state("ACTIVE", [A, B])
        await own.until(lambda: _is_connected(own))
        left = (await own.latest(own.names.status))["slot/0"]
        await own.end(signal.SIGKILL)
        for _ in range(2):
            await own.start()
            await own.until_ready()
            await own.until_state("ACTIVE", [A, B])
            assert await own.end() == 0
        events = [json.loads(record.value) for record in await own.records(own.names.events)]
        events = [event for event in events if event["event"].startswith("session")]
        found = [(event["event"], event["detail"].get("cause")) for event in events]
        assert found == [
            ("session_up", None),
            ("session_down", "killed"),
            ("session_up", None),
            ("session_down", "stop"),
            ("session_up", None),
            ("session_down", "stop"),
        ]
        killed = events[1]
        assert (killed["at"], killed["detail"]["owner"]) == (left["alive_at"], left["owner"])


async def _is_connected(own):
    return (await own.latest(own.names.status)).get("slot/0", {}).get("state") == "CONNECTED"


async def test_a_stop_before_the_start_ends_the_run(tmp_path):
    """A connector that was stopped before it runs leaves in order as soon as it does."""
    async with opened(settings_of_one(tmp_path)) as connector:
        connector.stop()
        async with asyncio.timeout(30):
            await connector.run()
        assert not asyncio.current_task().cancelling()  # else a later timeout cancels us
        assert connector.report.readiness()[0][0].startswith("stopping")
        assert connector.refusal is None


async def test_frames_that_wait_for_an_updated_connector_make_it_unready(tmp_path, monkeypatch):
    """When decoding raises for too many frames, readiness and status name the first that waits."""
    async with opened(settings_of_one(tmp_path)) as connector:
        delivery = connector.report._parts.delivery
        monkeypatch.setattr(TickEncoder, "encode", lambda *_: 1 // 0)
        delivery._sorter.route_to([Lane("ticks", 0)], [])
        frames = [Received(1, 0, 1, False, b"0|H0BJCNT0|001|" + b"^".join([b"1"] * 19))] * 21
        with pytest.raises(ZeroDivisionError):
            delivery._sorter.place(1, frames)
        waits_for = (
            "an updated connector, because of frame 21, and too many before it: decoding raised ZeroDivisionError"
        )
        assert f"delivery waits for {waits_for}" in connector.report.readiness()[0]
        assert delivery.waiting_for == waits_for


async def _has_frames(journal, count):
    return journal.last_seq >= count


async def test_nothing_is_written_after_the_journals_close(deploy, tmp_path, monkeypatch):
    """In five stops under load, nobody uses the journal once its close has begun."""
    used_late, closed = [], set()

    def watch(name):
        original = getattr(Journal, name)

        def watched(journal, *args):
            if journal in closed:
                used_late.append(name)
            return original(journal, *args)

        monkeypatch.setattr(Journal, name, watched)

    for name in ("append", "keep_key", "give_up", "read", "read_again", "advance", "lose", "save"):
        watch(name)
    close = Journal.close

    async def watched_close(journal):
        closed.add(journal)
        await close(journal)

    monkeypatch.setattr(Journal, "close", watched_close)
    async with deploy(rate=2000) as own:
        own.write("desk", {"instruments": ISINS[:12]})
        settings = load(None, own.environment | {"KIS_BOND_JOURNAL__PATH": str(tmp_path / "watched")})
        for stops in range(5):
            async with opened(settings) as connector:
                running = asyncio.create_task(connector.run())
                before = connector.journal.last_seq
                await own.until(lambda of=connector.journal, least=before + 300: _has_frames(of, least))
                connector.stop()
                await asyncio.wait_for(running, 30)
            assert (len(closed), used_late) == (stops + 1, [])
            await asyncio.sleep(0)  # what a task does late, it does in its next turn
        assert used_late == []
