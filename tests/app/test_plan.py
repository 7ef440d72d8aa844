"""From the lists to KIS and back to the status topic."""

import asyncio
import itertools
import json
import signal
import time
from collections import defaultdict
from dataclasses import replace
from secrets import token_hex
from types import SimpleNamespace

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from connector.app.plan import Plan
from connector.app.slots import Slots
from connector.app.undelivered import Undelivered
from connector.app.wanted_events import WantedEvents
from connector.core import status
from connector.core.bonds.isin import with_check_digit
from connector.core.kis.bond_registration import RegistrationView
from connector.core.kis.slot_view import SlotView
from connector.core.lists.subscription import Lists
from connector.core.slots.assignment import Fleet
from connector.core.steps import finished
from connector.settings import load
from connector.shell.kafka.compacted_topic import SILENCE_SECONDS, TopicRecord
from tests.app.arrival import assert_all_arrived
from tests.kafka.reader import make_again

ISINS = [with_check_digit(f"KR10350{number:04d}") for number in range(60)]
A, B, C = ISINS[:3]
WRONG = f"{A[:-1]}{9 - int(A[-1])}"  # a check digit is never its own complement to nine
SHARED = load(None, {"KIS_BOND_REPLICAS__COORDINATION": "group", "KIS_BOND_REPLICAS__NAME": "one"})


async def _registered(own, isins):
    return [set(session.tr_keys) for session in own.kis.sessions] == [isins]


async def _states(own, expected):
    _, status = await own.ask("/status")
    found = defaultdict(int)
    for one in status.get("instruments", {}).values():
        found[one["state"]] += 1
    return found == expected


async def test_lists_are_changed_while_it_runs(deploy):
    """Bonds are added, removed and added again, all on one connection."""
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


async def test_an_added_bond_ticks_within_a_second_of_kis_reply(deploy):
    """A new bond's first tick reaches the topic within a second of KIS's reply."""
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
    """A refused record changes only the list's status, which says where and why."""
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
    """If the last record is a tombstone, a restarted connector becomes ready and wants the rest."""
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
    """Three app keys of five places carry 15 of 18 bonds; the others wait for a free place."""
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


async def test_a_learned_limit_makes_the_rest_wait_with_kis_code(deploy):
    """If KIS has room for three bonds, the others wait with OPSP0008."""
    async with deploy(capacity=3) as own:
        own.write("desk", {"instruments": ISINS[:5]})
        await own.start()
        await own.until(lambda: _states(own, {"ACTIVE": 3, "WAITING_CAPACITY": 2}))
        _, status = await own.ask("/status")
        waiting = [one for one in status["instruments"].values() if one["state"] == "WAITING_CAPACITY"]
        assert {(one["code"], one["slot"]) for one in waiting} >= {("OPSP0008", None)}
        assert status["slots"]["0"]["capacity"] == 3
        assert await own.end() == 0


@pytest.mark.timeout(240)
async def test_without_kafka_at_start_the_saved_lists_are_captured(deploy, own_kafka):
    """Started without Kafka, the connector registers the saved lists and delivers later."""
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


async def _until_states(own, expected):
    async def is_reached():
        return {isin: one["state"] for isin, one in (await own.ask("/status"))[1]["instruments"].items()} == expected

    await own.until(is_reached)


async def test_a_control_topic_filled_again_while_out_of_contact_is_what_counts(deploy):
    """Lists that the new topic lacks are gone, all that it has count, and an event tells of it."""
    async with deploy() as own:
        own.write("desk", {"instruments": [A]})
        own.write("other", {"instruments": [B]})
        await own.start()
        await own.until_state("ACTIVE", [A, B])
        own.process.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(make_again, own.bootstrap_servers, own.names.control)
        for isin in ISINS[2:6]:
            own.write(isin, {})
        await asyncio.sleep(SILENCE_SECONDS)  # the connector measures this time, so there is nothing else to wait for
        own.process.send_signal(signal.SIGCONT)
        await _until_states(own, dict.fromkeys(ISINS[2:6], "ACTIVE"))
        assert set((await own.ask("/status"))[1]["lists"]) == set(ISINS[2:6])
        assert await own.end() == 0
        told = [each for each in await own.records(own.names.events) if b"topic_restarted" in each.value]
        assert [each.key.decode() for each in told] == [own.names.control]


async def test_a_status_topic_made_again_gets_every_record_back(deploy):
    """A standalone connector fills a new status topic with all its records."""
    async with deploy() as own:
        own.write("desk", {"instruments": ISINS[:10]})
        await own.start()
        await own.until_state("ACTIVE", ISINS[:10])
        await asyncio.to_thread(make_again, own.bootstrap_servers, own.names.status)
        every = {*(f"instrument/{isin}" for isin in ISINS[:10]), "list/desk", "slot/0"}

        async def is_back():
            return (await own.latest(own.names.status)).keys() == every

        await own.until(is_back)
        assert (await own.latest(own.names.status))[f"instrument/{A}"]["state"] == "ACTIVE"
        assert await own.end() == 0


async def test_a_restart_takes_the_limit_that_was_learned(deploy):
    """KIS has room for three bonds: after a restart it is not asked for more."""
    async with deploy(capacity=3, app_keys=1) as own:
        own.write("desk", {"instruments": ISINS[:8]})
        await own.start()
        await own.until(lambda: _states(own, {"ACTIVE": 3, "WAITING_CAPACITY": 5}))
        refused = [reply.code for reply in own.kis.replies].count("OPSP0008")
        assert refused >= 1
        for _ in range(2):
            assert await own.end() == 0
            await own.start()
            await own.until(lambda: _states(own, {"ACTIVE": 3, "WAITING_CAPACITY": 5}))
        assert [reply.code for reply in own.kis.replies].count("OPSP0008") == refused
        assert await own.end() == 0


async def test_the_status_is_put_right_after_a_second_connector_wrote_it(deploy):
    """A second connector says goodbye for bonds that tick: the first one's records come back."""
    async with deploy() as own:
        own.write("desk", {"instruments": [A, B]})
        await own.start()
        await own.until_state("ACTIVE", [A, B])

        async def is_written():
            return {"slot/0", f"instrument/{A}", f"instrument/{B}"} <= (await own.latest(own.names.status)).keys()

        await own.until(is_written)
        ours = await own.latest(own.names.status)
        own.write("slot/0", ours["slot/0"] | {"state": "BLOCKED", "code": "OPSP8996"}, own.names.status)
        for isin in (A, B):
            own.write(f"instrument/{isin}", ours[f"instrument/{isin}"] | {"state": "DISCONNECTED"}, own.names.status)
        own.write("slot/0", ours["slot/0"] | {"state": "IDLE", "owner": None}, own.names.status)

        async def are_right():
            latest = await own.latest(own.names.status)
            return [latest[key]["state"] for key in ("slot/0", f"instrument/{A}", f"instrument/{B}")] == [
                "CONNECTED",
                "ACTIVE",
                "ACTIVE",
            ]

        await own.until(are_right)
        _, shown = await own.ask("/status")
        assert shown["slots"]["0"]["owner"] == "test"
        assert await own.end() == 0


async def _told(own, isin):
    """Return what the events say of a bond, in their order: each kind, and whether it waits."""
    events = [json.loads(record.value) for record in await own.records(own.names.events) if record.key == isin.encode()]
    return [(event["event"], event["detail"]["state"] == "WAITING_CAPACITY") for event in events]


async def test_events_say_when_a_bond_is_wanted_and_may_be_registered(deploy):
    """A bond is told as wanted, as waiting and as unwanted, and a restart repeats nothing."""
    async with deploy(capacity=1, app_keys=1) as own:
        own.environment["KIS_BOND_KIS__SESSION_CAPACITY"] = "1"
        own.write(A, {"priority": 9})
        own.write(B, {"requested_at": "2026-01-02T09:00:00.5+09:00"})
        await own.start()
        await own.until_state("ACTIVE", [A])
        await own.until_state("WAITING_CAPACITY", [B])
        assert await own.end() == 0
        assert await _told(own, A) == [("wanted", False)]
        assert await _told(own, B) == [("wanted", True)]
        status = await own.latest(own.names.status)
        assert status[f"instrument/{B}"]["wanted_since"] == "2026-01-02T00:00:00.500Z"
        assert status["slot/0"]["pending"] == 0
        await own.start()
        await own.until_state("ACTIVE", [A])
        own.write(A, None)
        await own.until_state("ACTIVE", [B])
        assert await own.end() == 0
        assert await _told(own, A) == [("wanted", False), ("unwanted", False)]
        assert await _told(own, B) == [("wanted", True), ("wanted", False)]


async def test_a_list_whose_status_record_is_too_large_is_refused(deploy):
    """The list's last good content stays in force, and other lists are not touched."""
    async with deploy() as own:
        change = ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, own.names.status, incremental_configs=[change])
        admin = AdminClient({"bootstrap.servers": own.bootstrap_servers, "log_level": 0})
        for future in admin.incremental_alter_configs([resource]).values():
            await asyncio.to_thread(future.result, 20)
        own.write("desk", {"instruments": [A]})
        own.write(C, {})
        await own.start()
        await own.until_state("ACTIVE", [A, C])
        own.write("desk", {"instruments": [B], "note": token_hex(3000)})  # cannot be compressed

        async def is_refused():
            latest = await own.latest(own.names.status)
            return latest.get("list/desk", {}).get("state") == "REFUSED" and f"instrument/{B}" not in latest

        await own.until(is_refused)
        desk = (await own.latest(own.names.status))["list/desk"]
        assert "max.message.bytes" in desk["reason"]
        assert desk["in_force"]["value"] == {"instruments": [A]}
        await own.until_state("ACTIVE", [A, C])
        assert await own.end() == 0
        await own.start()
        await own.until_state("ACTIVE", [A, C])
        _, status = await own.ask("/status")
        assert status["lists"]["desk"] == desk
        assert await own.end() == 0


async def test_a_held_back_removal_is_not_carried_out_by_a_restart(deploy):
    """Not even if the list's status record is missing: the bonds' records name the list."""
    async with deploy() as own:
        own.write("large", {"instruments": ISINS[:30]})
        own.write("small", {"instruments": ISINS[30:32]})
        await own.start()
        await own.until_state("ACTIVE", ISINS[:32])
        own.write("large", None)

        async def is_held_back():
            return "removal guard" in str((await own.ask("/status"))[1]["lists"]["large"]["reason"])

        await own.until(is_held_back)
        assert await own.end() == 0
        own.write("list/large", None, own.names.status)
        await own.start()
        await own.until_state("ACTIVE", ISINS[:32])
        await own.until(is_held_back)
        assert await own.end() == 0


def plan_of_one(slots, before_use=lambda *_: None):
    """Return the plan of replica "one", which read that "two" owns slot 0."""
    ignored = {
        "on_desired": lambda _: None,
        "on_round": lambda: None,
        "before_use": before_use,
        "on_restart": lambda *_: None,
        "wanted_events": WantedEvents(None),
        "undelivered": Undelivered(SimpleNamespace(pending=0), None, asyncio.Event()),
    }
    plan = Plan(SHARED, None, slots, asyncio.Event(), client_arguments=dict, new_writer=lambda *_: None, **ignored)
    finished(plan._on_known_status([slot_0("two", 7)]))
    return plan


def slot_0(owner, capacity=41, alive_at="2026-01-02T00:00:00Z"):
    """Return the status record of slot 0 as its owner writes it, whose clock may differ."""
    record = {"state": "CONNECTED", "owner": owner, "capacity": capacity, "alive_at": alive_at}
    return TopicRecord(b"slot/0", status.encode(record), 0, 0, 0)


def feed_of(slot, registered=0):
    """Return the part of a slot's feed that the plan reads."""
    view = SlotView(slot, "CONNECTED", 41, registered, None, None, {})
    return SimpleNamespace(view=view, places=41, capacity=41, wanted=(), session_up=True)


def test_a_slot_that_went_over_is_as_its_owner_wrote_it():
    """When a slot is no longer ours, the record that its owner wrote before counts."""
    slots = Slots(SHARED, 2, lambda *_: None, dict, tuple)
    plan = plan_of_one(slots)
    slots.feeds[0] = feed_of(0)
    plan._publish(Lists())
    assert plan.records["slot/0"]["owner"] == "one"
    assert plan.status_topic.differing() == []
    slots.feeds.clear()
    plan.update_slots()
    assert (plan.records["slot/0"]["owner"], plan.learned_limit(0)) == ("two", 7)


def test_an_owner_is_alive_by_our_clock():
    """An owner with any clock lives at our start, when it writes, and when we lose a slot."""
    slots = Slots(SHARED, 2, lambda *_: None, dict, tuple)
    plan = plan_of_one(slots)
    assert plan._alive() == {0}
    plan._on_others_status([slot_0("two", alive_at="2099-01-02T00:00:00Z")])
    assert plan._alive() == {0}
    assert plan.clocks_ahead.keys() == {"two"}
    slots.feeds[1] = feed_of(1)
    plan._publish(Lists())
    slots.feeds.clear()
    plan.update_slots()
    assert plan._alive() == {0}


@pytest.mark.parametrize("clock", ["2001-01-02T00:00:00Z", "2099-01-02T00:00:00Z"])
def test_neither_a_clock_that_is_set_nor_an_outage_of_kafka_moves_a_bond(clock, monkeypatch):
    """An owner that we could not hear, or only long ago by the clock, keeps its slot's places."""
    slots = Slots(SHARED, 2, lambda *_: None, dict, tuple)
    slots.feeds[1] = feed_of(1)
    plan = plan_of_one(slots)
    plan._publish(Lists())
    before = plan._present_places()
    assert before.counted == {0: 7, 1: 41}
    later = time.monotonic() + 3600.0
    monkeypatch.setattr("connector.app.plan.now", lambda: clock)
    monkeypatch.setattr("connector.app.plan.monotonic", lambda: later)
    assert plan._present_places() == before
    plan._publish(Lists())
    assert plan._situation.alive == {0}
    assert plan._present_places() == before
    plan.status_reader.followed_seconds = SHARED.kis.slot_lost_seconds
    assert plan._present_places().counted == {1: 41}, "it was silent while we listened"


def test_a_slot_whose_owner_has_not_joined_again_keeps_its_bonds():
    """A group that forms after an outage lacks the slots that only later members can open."""
    slots = Slots(SHARED, 1, lambda *_: None, dict, tuple)
    slots.feeds[1] = feed_of(1)
    slots.group.fleet = Fleet({0: 41, 1: 41})
    plan = plan_of_one(slots)
    before = plan._present_places()
    assert before.counted == {0: 7, 1: 41}
    slots.group.fleet = Fleet({1: 41})
    assert plan._present_places() == before
    plan._publish(Lists())
    assert (plan._situation.others, plan._situation.alive) == ({0}, {0})
    plan.status_reader.followed_seconds = SHARED.kis.slot_lost_seconds
    assert plan._present_places().counted == {1: 41}, "its owner was silent while we listened"


def test_a_slot_that_its_owner_left_counts_no_more():
    """A replica that has stopped says so, and nobody else can open its slot."""
    slots = Slots(SHARED, 1, lambda *_: None, dict, tuple)
    slots.feeds[1] = feed_of(1)
    slots.group.fleet = Fleet({0: 41, 1: 41})
    plan = plan_of_one(slots)
    plan._present_places()
    slots.group.fleet = Fleet({1: 41})
    plan._on_others_status([slot_0(None, 7)])
    assert plan._present_places().counted == {1: 41}


def test_after_an_outage_a_refusal_is_as_the_topic_says():
    """While we did not read it, another replica may have got the bond: it keeps the record."""
    slots = Slots(SHARED, 2, lambda *_: None, dict, tuple)
    slots.feeds[1] = Feed(**vars(feed_of(1)))
    plan = plan_of_one(slots)
    list(plan.control.snapshot([control(A, 0)]))
    plan._placement, key = {A: 1}, f"instrument/{A}"
    plan.records[key] = {"state": "REJECTED", "slot": 1, "code": "OPSP8992"}
    plan._publish(plan.control.lists)
    assert (plan.records[key]["state"], plan.records[key]["slot"]) == ("REJECTED", 1)
    theirs = {"state": "REJECTED", "slot": 0}
    finished(plan._on_known_status([slot_0("two"), TopicRecord(key.encode(), status.encode(theirs), 0, 1, 0)]))
    assert plan.records[key] == theirs


async def test_a_stop_tells_nothing_of_bonds_that_no_list_wants(standalone):
    """A stop just after the topic was read again does not take foreign records for ours."""
    plan, _ = standalone
    finished(plan._on_known_status([]))
    list(plan.control.snapshot([control(A, 0)]))
    plan.pause()
    foreign = status.encode({"lists": ["x"], "slot": 0, "state": "ACTIVE"})
    finished(plan._on_known_status([TopicRecord(f"instrument/{B}".encode(), foreign, 0, 1, 0)]))
    await plan.say_goodbye(0)
    assert f"instrument/{B}" not in plan._wanted_events._standings._changed


def test_after_an_outage_a_record_that_became_ours_is_made_anew():
    """While we did not read it, the bond lost its place on another replica's slot."""
    slots = Slots(SHARED, 2, lambda *_: None, dict, tuple)
    slots.feeds[0] = Feed(**vars(feed_of(0)))
    plan = plan_of_one(slots)
    list(plan.control.snapshot([control(A, 0)]))
    other = TopicRecord(b"slot/1", slot_0("two").value, 0, 1, 0)

    def read_again(state, slot):
        bond = status.encode({"state": state, "slot": slot})
        finished(plan._on_known_status([other, TopicRecord(f"instrument/{A}".encode(), bond, 0, 2, 0)]))
        plan._publish(plan.control.lists)
        return plan.records[f"instrument/{A}"]["state"]

    assert read_again("ACTIVE", 1) == "ACTIVE"
    assert read_again("WAITING_CAPACITY", None) == "WAITING_CAPACITY"


def test_a_killed_owner_was_last_alive_by_its_own_clock():
    """Who looks for killed sessions reads the records as their owners wrote them."""
    seen = []
    slots = Slots(SHARED, 2, lambda *_: None, dict, tuple)
    slots.group._on_assigned(frozenset({0}))
    plan = plan_of_one(slots, lambda _, records: seen.append(records["slot/0"]["alive_at"]))
    plan._on_others_status([slot_0("two", alive_at="2099-01-02T00:00:00Z")])
    plan.status_reader.restored.set()
    plan._carry()
    assert seen == ["2026-01-02T00:00:00Z", "2099-01-02T00:00:00Z"]


@pytest.mark.parametrize(("owner", "waits"), [("two", True), ("one", True), (None, False)])
def test_two_replicas_never_write_over_each_other_in_turn(owner, waits):
    """If another replica claims a slot, we write its record only after the group confirms us."""
    slots = Slots(SHARED, 2, lambda *_: None, dict, tuple)
    plan = plan_of_one(slots)
    slots.feeds[0] = feed_of(0)
    slots.group._on_assigned(frozenset({0}))
    plan._publish(Lists())
    assert [record.key for record in plan.status_topic.differing()] == [b"slot/0"]
    plan._on_others_status([slot_0(owner)])
    assert bool(plan.status_topic.differing()) != waits
    slots._changed.clear()
    slots.group._on_heard(time.monotonic())
    assert slots._changed.is_set() == waits
    assert [record.key for record in plan.status_topic.differing()] == [b"slot/0"]


def test_a_status_topic_made_anew_gets_every_record_back(standalone):
    """If the topic is read again and is empty, the next writes are all records."""
    plan, _ = standalone
    finished(plan._on_known_status([]))
    plan._publish(Lists())
    plan.records = {f"list/{number}": {"state": "ACCEPTED"} for number in range(11)} | plan.records
    plan.status_topic.publish(plan.records, plan._may_write)
    written = {record.key: record.value for record in plan.status_topic.differing()}
    assert len(written) == 12
    topic = [TopicRecord(key, value, 0, 0, 0) for key, value in written.items()]
    finished(plan._on_known_status(topic))
    assert plan.status_topic.differing() == []
    finished(plan._on_known_status([]))
    assert {record.key: record.value for record in plan.status_topic.differing()} == written


def test_a_slot_that_was_just_assigned_to_another_is_written_no_more():
    """From the assignment on, only records of the slots still ours are written."""
    slots = Slots(SHARED, 2, lambda *_: None, dict, tuple)
    plan = plan_of_one(slots)
    slots.feeds = {0: feed_of(0), 1: feed_of(1)}
    slots.group._on_assigned(frozenset({0, 1}))
    plan._publish(Lists())
    assert [record.key for record in plan.status_topic.differing()] == [b"slot/0", b"slot/1"]
    slots.group._on_assigned(frozenset({1}))
    assert plan.status_topic.differing() == []
    del slots.feeds[0]
    plan.update_slots()
    assert [record.key for record in plan.status_topic.differing()] == [b"slot/1"]


def test_a_session_claims_its_slot_once_kis_confirmed_a_bond_on_it():
    """Until KIS confirms a bond, the session may be refused as in use and claims no slot."""
    slots = Slots(SHARED, 2, lambda *_: None, dict, tuple)
    slots.feeds = {0: feed_of(0, registered=3), 1: feed_of(1)}
    slots.group._on_assigned(frozenset({0, 1}))
    claim = slots.group._claim()
    assert (claim.held, claim.open, claim.capacity) == ({0, 1}, {0}, 41)


class Feed(SimpleNamespace):
    """A feed that only remembers what it should carry."""

    def want(self, isins):
        """Remember the bonds."""
        self.wanted = tuple(isins)

    def retry_rejected(self, isins):
        """Remember the bonds to try again."""
        self.retried = isins


@pytest.fixture
def standalone():
    """Return the plan of a standalone replica with one slot, and its feed."""
    feed = Feed(**vars(feed_of(0)))
    ignored = {
        "on_desired": lambda _: None,
        "on_round": lambda: None,
        "before_use": lambda *_: None,
        "on_restart": lambda *_: None,
        "wanted_events": WantedEvents(None),
        "undelivered": Undelivered(SimpleNamespace(pending=0), None, asyncio.Event()),
    }
    settings = load(None, {})
    slots = Slots(settings, 1, lambda *_: feed, dict, tuple)
    slots.feeds[0] = feed
    slots.group._on_assigned(frozenset({0}))
    plan = Plan(settings, None, slots, asyncio.Event(), client_arguments=dict, new_writer=lambda *_: None, **ignored)
    return plan, feed


def test_a_lost_slot_has_no_room_and_asks_for_one_bond(standalone):
    """Readers see its capacity as 0, and its feed tries to get a session with a single bond."""
    plan, feed = standalone
    plan._slots.lost = frozenset({0})
    assert plan._slots.views[0].capacity == 0
    plan._placement = {A: 1, B: 1}
    plan._carry()
    assert feed.wanted == (A,)


@pytest.mark.parametrize(("settings", "lost"), [(SHARED, set()), (load(None, {}), {0})])
def test_a_slot_is_lost_only_while_we_are_in_contact(settings, lost, monkeypatch):
    """Out of contact, another replica may have the session that our slot cannot open."""
    monkeypatch.setattr("connector.app.slots.monotonic", itertools.count(1000.0, 100.0).__next__)
    slots = Slots(settings, 1, lambda *_: None, dict, tuple)
    if not lost:
        assert not slots.in_contact
    else:
        slots.group._on_assigned(frozenset({0}))
    waiting = {A: RegistrationView("PENDING", None, None)}
    slots.feeds[0] = SimpleNamespace(view=SlotView(0, "BLOCKED", 41, 0, "OPSP8996", None, waiting))
    for _ in range(3):
        slots.note_outages()
    assert slots.lost == lost


def test_a_bond_that_is_asked_for_anew_takes_a_place_again(standalone):
    """Its record does not say REJECTED any more, so every replica places it among the good ones."""
    plan, feed = standalone
    plan.records = {f"instrument/{A}": {"state": "REJECTED", "slot": 0}}
    plan._named = frozenset({A})
    plan._place(Lists())
    assert (plan.records[f"instrument/{A}"]["state"], feed.retried) == ("PENDING", {A})


def test_a_learned_limit_places_the_bonds_again(standalone):
    """A round whose records give a slot other room asks for a new placement, and no other does."""
    plan, feed = standalone
    finished(plan._on_known_status([]))
    plan._place(Lists())
    plan._publish(Lists())
    assert not plan._is_unplaced
    feed.view = replace(feed.view, capacity=3)
    plan._publish(Lists())
    assert plan._is_unplaced


async def until_wanted(feed, isins):
    """Wait until the feed should carry these bonds."""
    async with asyncio.timeout(30):
        while feed.wanted != isins:
            await asyncio.sleep(0)


def control(isin, offset):
    """Return a control record that wants one bond."""
    return TopicRecord(isin.encode(), b"{}", 0, offset, 1_700_000_000_000)


async def test_the_pause_between_status_rounds_delays_no_bond(standalone, monkeypatch):
    """A list that arrives just after a round is placed at once, not when the next round is due."""
    monkeypatch.setattr("connector.app.plan.STATUS_PAUSE_SECONDS", 3600)
    plan, feed = standalone
    task = asyncio.create_task(plan.run())
    try:
        list(plan.control.snapshot([control(A, 0)]))
        await until_wanted(feed, (A,))
        finished(plan.control.follow([control(B, 1)]))
        assert feed.wanted == (A,), "the reader's callback only stores and wakes"
        await until_wanted(feed, (A, B))
        assert feed.retried == {B}
    finally:
        task.cancel()


async def test_one_record_is_placed_once(standalone, monkeypatch):
    """However many rounds follow, the placement is computed once for each change of the lists."""
    monkeypatch.setattr("connector.app.plan.STATUS_PAUSE_SECONDS", 0)
    computed = []
    place = Plan._place
    monkeypatch.setattr(Plan, "_place", lambda self, lists: computed.append(1) or place(self, lists))
    plan, feed = standalone
    task = asyncio.create_task(plan.run())
    try:
        list(plan.control.snapshot([control(A, 0)]))
        await until_wanted(feed, (A,))
        for _ in range(5):
            plan._changed.set()
            await asyncio.sleep(0.01)
        assert len(computed) == 1
    finally:
        task.cancel()
