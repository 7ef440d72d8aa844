"""The connector from KIS to Kafka and back to the status topic, on real parts: ticks, lists, slots, outages, kills."""

import asyncio
import json
import os
import signal
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from hashlib import blake2b
from zoneinfo import ZoneInfo

import pytest

from connector.core.isin import with_check_digit
from simulator import Simulator
from tests.deployment import Deployment

ISINS = [with_check_digit(f"KR10350{number:04d}") for number in range(60)]
A, B, C = ISINS[:3]
WRONG = f"{A[:-1]}{9 - int(A[-1])}"  # a check digit is never its own complement to nine


@pytest.fixture
async def deploy(kafka, topic_names, tmp_path):
    """Return what starts an exchange and sets a connector up beside it; the connector is killed at the end."""
    deployments = []

    @asynccontextmanager
    async def deployed(*, cluster=kafka, topics=True, app_keys=0, **exchange):
        async with Simulator(**exchange) as kis:
            made = Deployment(kis, cluster.bootstrap_servers, topic_names, tmp_path)
            deployments.append(made)
            if app_keys:
                made.use_app_keys(app_keys)
            if topics:
                made.create_topics()
            try:
                yield made
            finally:
                if made.process and made.process.returncode is None:
                    await made.end(signal.SIGKILL)

    return deployed


def identities(kis):
    """Return, for each record sent, the identities it may have: its trade date is today's, or yesterday's around midnight."""
    today = datetime.now(ZoneInfo("Asia/Seoul")).date()
    days = [f"{today - timedelta(days=back)}|".encode() for back in (0, 1)]
    sent = [record.raw for frame in kis.sent for record in frame.records if record.reason is None]
    return [{blake2b(day + raw.encode(), digest_size=16).hexdigest() for day in days} for raw in sent]


def assert_all_arrived(kis, ticks):
    """Each record sent is there, nothing else is, and each bond's first copies are in the order of its accumulated volume."""
    found = {tick["tick_id"] for tick in ticks}
    expected = identities(kis)
    assert [ids for ids in expected if not ids & found] == []
    assert found <= set().union(*expected)
    volumes = defaultdict(dict)
    for tick in ticks:
        volumes[tick["STND_ISCD"]].setdefault(tick["ACML_VOL"], None)
    for of_bond in volumes.values():
        assert list(of_bond) == sorted(of_bond)


async def test_every_tick_sent_is_in_the_topic_once(deploy):
    """What the exchange sent is what another client reads: same records, once each, in order for each bond."""
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


async def test_lists_are_changed_while_it_runs(deploy):
    """A bond that is added ticks, one that is removed does not, and one that is added again does, without a reconnect."""
    async with deploy() as own:
        await own.start()
        await own.until_ready()
        own.write(A, {})
        own.write("desk", {"instruments": [B]})
        await own.until_state("ACTIVE", [A, B])
        own.write(A, None)
        await own.until(lambda: _registered(own, {B}))
        own.write("desk", {"instruments": [A, B, C]})
        await own.until_state("ACTIVE", [A, B, C])
        for isin in (A, B, C):
            await own.kis.emit_ticks(isin, 3)
        await own.until_delivered()
        assert len(own.kis.connects) == 1
        assert await own.end() == 0
        assert_all_arrived(own.kis, await own.ticks())
        status = await own.latest(own.names.status)
        assert {status[f"instrument/{isin}"]["state"] for isin in (A, B, C)} == {"DISCONNECTED"}
        assert (status["slot/0"]["state"], status["slot/0"]["owner"]) == ("IDLE", None)


async def _registered(own, isins):
    return [set(session.tr_keys) for session in own.kis.sessions] == [isins]


async def test_an_added_bond_ticks_within_a_second_of_kis_reply(deploy):
    """From KIS's reply to a new bond's first tick in the topic less than a second passes while others tick."""
    async with deploy(rate=200) as own:
        own.write("desk", {"instruments": ISINS[:5]})
        await own.start()
        await own.until_state("ACTIVE", ISINS[:5])
        own.write(ISINS[20], {})
        await own.until_state("ACTIVE", [ISINS[20]])
        replied_at = next(answer.at for answer in own.kis.replies if answer.tr_key == ISINS[20])
        await own.kis.emit_ticks(ISINS[20], 1)
        own.kis.rate = 0
        await own.until_delivered()
        first = next(record for record in await own.records(own.names.ticks) if record.key == ISINS[20].encode())
        assert int(first.header("received-ns")) / 1e9 - replied_at < 1.0
        assert await own.end() == 0


async def test_bad_control_records_keep_the_last_good_list(deploy):
    """A refused record changes nothing but the list's status, which says where and why."""
    async with deploy() as own:
        own.write("desk", {"instruments": [A]})
        await own.start()
        await own.until_state("ACTIVE", [A])
        own.write("desk", b'{"instruments": [')
        own.write("other", {"instruments": [WRONG]})
        own.write(B, {})
        await own.until_state("ACTIVE", [A, B])
        _, status = await own.ask("/status")
        assert status["lists"]["desk"]["state"] == "REFUSED"
        assert status["lists"]["desk"]["in_force"]["value"] == {"instruments": [A]}
        assert WRONG in status["lists"]["other"]["reason"]
        assert await own.end() == 0


async def test_a_compacted_control_topic_with_a_deleted_last_key_makes_it_ready(deploy):
    """The last offset being a tombstone, the connector is ready after a restart and wants what is left."""
    async with deploy() as own:
        own.write(A, {})
        own.write(B, {})
        own.write(B, None)
        await own.start()
        await own.until_ready()
        await own.until_state("ACTIVE", [A])
        assert await own.end() == 0
        await own.start()
        await own.until_ready()
        await own.until_state("ACTIVE", [A])
        _, status = await own.ask("/status")
        assert list(status["instruments"]) == [A]
        assert await own.end() == 0


async def test_bonds_are_placed_over_several_app_keys_and_the_rest_waits(deploy):
    """Three app keys with room for five each carry fifteen of eighteen bonds; three wait, visibly, and step in when there is room."""
    async with deploy(capacity=5, app_keys=3) as own:
        own.environment["KIS_BOND_KIS__SESSION_CAPACITY"] = "5"
        own.write("desk", {"instruments": ISINS[:18]})
        await own.start()
        await own.until_state("ACTIVE", ISINS[:15], 60)
        await own.until_state("WAITING_CAPACITY", ISINS[15:18])
        assert sorted(len(session.tr_keys) for session in own.kis.sessions) == [5, 5, 5]
        own.write("desk", {"instruments": ISINS[3:18]})
        await own.until_state("ACTIVE", ISINS[3:18], 60)
        assert await own.end() == 0


async def test_a_learnt_limit_makes_the_rest_wait_with_kis_code(deploy):
    """KIS having room for three, three bonds are active and the others wait with OPSP0008."""
    async with deploy(capacity=3) as own:
        own.write("desk", {"instruments": ISINS[:5]})
        await own.start()
        await own.until(lambda: _states(own, {"ACTIVE": 3, "WAITING_CAPACITY": 2}))
        _, status = await own.ask("/status")
        waiting = [one for one in status["instruments"].values() if one["state"] == "WAITING_CAPACITY"]
        assert {(one["code"], one["slot"]) for one in waiting} >= {("OPSP0008", None)}
        assert status["slots"]["0"]["capacity"] == 3
        assert await own.end() == 0


async def _states(own, expected):
    _, status = await own.ask("/status")
    found = defaultdict(int)
    for one in status.get("instruments", {}).values():
        found[one["state"]] += 1
    return found == expected


async def test_malformed_frames_become_dead_letters_with_the_reason_the_exchange_expects(deploy):
    """Among good frames every kind of bad one, and encrypted ones: the good arrive, the bad are dead letters with their raw bytes."""
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
    """Killed five times under load and restarted, everything received arrives; repetitions bear equal identities."""
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


async def _sent_at_least(own, count):
    return len(own.kis.sent) >= count


async def _nothing_pending(own):
    _, status = await own.ask("/status")
    return bool(status) and status["frames"]["pending"] == 0 and status["frames"]["received"] > 0


@pytest.mark.timeout(240)
async def test_kafka_away_for_thirty_seconds_costs_nothing(deploy, own_kafka):
    """The feed goes on while the brokers are down: no reconnect, and afterwards every tick is there in order."""
    async with deploy(cluster=own_kafka, rate=100) as own:
        own.write("desk", {"instruments": ISINS[:8]})
        await own.start()
        await own.until_state("ACTIVE", ISINS[:8])
        await asyncio.to_thread(own_kafka.stop)
        back_at = time.monotonic() + 30
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


async def _true_from(at):
    return time.monotonic() >= at


@pytest.mark.timeout(240)
async def test_without_kafka_at_start_the_saved_lists_are_captured(deploy, own_kafka):
    """With the brokers down at its start the connector registers what it wanted last, and delivers when they are back."""
    async with deploy(cluster=own_kafka) as own:
        own.write("desk", {"instruments": [A, B]})
        await own.start()
        await own.until_state("ACTIVE", [A, B])
        assert await own.end() == 0
        await asyncio.to_thread(own_kafka.stop)
        await own.start()
        await own.until(lambda: _registered(own, {A, B}))
        await own.kis.emit_ticks(A, 5)
        await own.until_ready()
        await asyncio.to_thread(own_kafka.start)
        await own.until_delivered(60)
        assert await own.end() == 0
        assert_all_arrived(own.kis, await own.ticks())


async def test_missing_topics_are_not_ready_and_say_what_to_do(deploy):
    """Without topics the connector runs, is alive, is not ready, and names the command; once they are there it becomes ready."""
    async with deploy(topics=False) as own:
        await own.start()
        await own.until(lambda: _says(own, "kis-bond topics init"))
        assert (await own.ask("/livez"))[0] == 200
        own.create_topics()
        await own.until_ready()
        assert await own.end() == 0


async def _says(own, words):
    status, body = await own.ask("/readyz")
    return status == 503 and words in json.dumps(body)


async def test_a_stop_with_kafka_away_ends_with_six_and_keeps_the_frames(deploy, own_kafka):
    """What cannot be delivered within the deadline stays in the journal, and the exit code says so."""
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
        assert await own.end() == 0
        assert_all_arrived(own.kis, await own.ticks())


async def _pending(own, count):
    _, status = await own.ask("/status")
    return bool(status) and status["frames"]["pending"] == count


async def test_a_corrupt_journal_is_set_aside_and_capturing_goes_on(deploy):
    """A journal of garbage is renamed and reported; a fresh one takes the ticks."""
    async with deploy() as own:
        journal = own.folder / "data" / "journal.db"
        journal.parent.mkdir(mode=0o700)
        journal.write_bytes(os.urandom(65536))
        own.write(A, {})
        await own.start()
        await own.until_state("ACTIVE", [A])
        await own.kis.emit_ticks(A, 3)
        await own.until_delivered()
        assert await own.end() == 0
        assert [path.name for path in journal.parent.glob("journal.db.corrupt-*")] != []
        assert "journal_set_aside" in own.log.read_text()


async def test_a_dropped_session_is_told_and_rebuilt(deploy):
    """After an abrupt end the connector reconnects by itself, registers everything again, and both events are on the topic."""
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
        told = [(event["event"], event["detail"].get("cause")) for event in events]
        assert told == [("session_up", None), ("session_down", "reset"), ("session_up", None), ("session_down", "stop")]


async def _connected(own, times):
    return len(own.kis.connects) == times and await _registered(own, {A, B})
