"""What the auditor writes, and in which order."""

import json
from types import SimpleNamespace

import pytest

from connector.app.event_log import EventLog
from connector.core.bonds.isin import with_check_digit
from connector.core.ticks.avro import registry_prefix
from connector.core.ticks.partition import partition
from tests.app.audit.fakes import ISIN, SCHEMA, World


async def test_record_event_record():
    """A hole's record comes first, then its event, and then the record that says so."""
    world = World()
    raws = world.trades(10)
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records(raws[:4] + raws[6:]))
    assert await world.auditor.flush() == {0: 8}
    kinds = [b"gap" if b'"event":"gap"' in each.value else b"record" for each in world.log]
    assert kinds == [b"record", b"gap", b"record"]
    first, _, last = (json.loads(each.value) for each in world.log)
    assert [record["holes"][0]["announced"] for record in (first, last)] == [False, True]
    low, high = (int(raw.split("^")[16]) for raw in (raws[3], raws[5]))
    assert world.gaps()[0]["detail"]["id"] == f"{ISIN}/{last['trade_date']}/{low}-{high}"
    assert await world.auditor.flush() == {0: 8}
    assert len(world.log) == 3


async def test_nothing_is_committed_before_it_is_written():
    """While Kafka does not acknowledge the records, no offset may be committed."""
    world = World()
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records(world.trades(3)))
    world.coverage.failures = 1
    assert await world.auditor.flush() == {}
    assert await world.auditor.flush() == {0: 3}
    assert world.latest()["ticks"] == 3


async def test_an_event_that_was_not_acknowledged_is_repeated_with_its_id():
    """After a kill between record and event, the next auditor writes the event with the same id."""
    world = World()
    raws = world.trades(5)
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records([*raws[:2], *raws[3:]]))
    world.events.failures = 1
    await world.auditor.flush()
    assert world.gaps() == []
    world.store()
    await world.auditor.begin(0, 0, range(1000))
    await world.auditor.flush()
    assert [event["detail"]["id"] for event in world.gaps()] == [world.latest()["holes"][0]["id"]]
    assert world.latest()["holes"][0]["announced"]


async def test_a_restart_counts_nothing_twice():
    """Ticks after the committed offset that a record holds already are skipped."""
    world = World()
    records = world.records(world.trades(6))
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, records)
    await world.auditor.flush()
    before = world.latest()
    world.store()
    await world.auditor.begin(0, 2, range(1000))
    await world.auditor.take(0, records[2:])
    await world.auditor.flush()
    assert world.latest() == before
    assert before["ticks"] == 6


async def test_causes_wait_for_their_topics():
    """Until the topics of causes are read, no hole gets an id; ticks count all the same."""
    world = World()
    raws, known = world.trades(5), [False]
    world.auditor.knows_facts = lambda: known[0]
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records([*raws[:2], *raws[3:]]))
    assert await world.auditor.flush() == {0: 4}
    assert world.latest()["holes"][0]["id"] is None
    known[0] = True
    world.event("session_up")
    await world.auditor.flush()
    assert world.latest()["holes"][0]["cause"] == "not_running"


async def test_deleted_ticks_prove_nothing():
    """If the topic begins after what was read, today and the first date after it are unproven."""
    world = World()
    await world.auditor.begin(0, 5, range(9, 1000))
    world.offset = 9
    await world.auditor.take(0, world.records(world.trades(3)))
    await world.auditor.flush()
    assert (world.latest()["state"], world.latest()["reason"]) == ("UNPROVEN", "deleted")


async def test_a_jump_of_offsets_means_deleted_ticks():
    """Ticks that were deleted while the auditor lagged are noticed by their offsets."""
    world = World()
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records(world.trades(2)))
    world.offset += 7
    await world.auditor.take(0, world.records(world.trades(2)))
    await world.auditor.flush()
    assert world.latest()["reason"] == "deleted"


async def test_an_old_date_is_read_back():
    """A tick of a date that left memory goes on from that date's record, without an event."""
    world = World()
    raws = world.trades(6, back_days=10)
    world.auditor._tidied_ms = 1 << 62
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records(raws[:3], back_days=10))
    await world.auditor.flush()
    world.store()
    await world.auditor.begin(0, 3, range(1000))
    assert world.auditor.partitions[0].book.days == {}
    await world.auditor.take(0, world.records(raws[4:], back_days=10))
    await world.auditor.flush()
    record = world.latest(back_days=10)
    assert (record["ticks"], len(record["holes"]), world.gaps()) == (5, 1, [])


async def test_what_cannot_be_read_is_counted():
    """A value that is no tick is counted, and the audit goes on after it."""
    world = World()
    raws = world.trades(2)
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records(raws[:1], value=b"no tick") + world.records(raws))
    await world.auditor.flush()
    assert (world.auditor.ticks, world.auditor.unreadable, world.latest()["ticks"]) == (3, 1, 2)


async def test_an_unknown_schema_is_asked_for(monkeypatch):
    """A tick of an unknown id waits for the registry, which is asked once for each id."""
    monkeypatch.setattr("connector.app.audit.auditor.pauses", lambda: iter([0.01] * 9))
    world = World(asks_registry=True)
    world.schemas[7] = [OSError("away"), SCHEMA.text]
    records = world.records(world.trades(2))
    for record in records:
        record.value = registry_prefix(7) + record.value[10:]
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, records)
    await world.auditor.flush()
    assert (world.asked, world.latest()["ticks"], world.auditor.problem) == ([7, 7], 2, None)


async def test_foreign_records_of_the_other_topics_are_ignored():
    """Values that are no JSON objects change nothing."""
    world = World()
    for raw in (b"", b"[1]", b"\xff", b"[" * 100_000):
        world.auditor.take_event(type("R", (), {"value": raw, "key": b"k", "timestamp": 0}))
        world.auditor.take_status(type("R", (), {"value": raw, "key": b"slot/0"}))
        for received in (None, raw):
            world.auditor.take_letter(type("R", (), {"headers": [("received-ns", received)], "key": b"k"}))
    assert world.auditor.facts.version == 0
    assert world.auditor.wishes.slots == {}


async def test_dead_letters_are_a_cause():
    """A dead letter of the bond in a hole's time is the hole's cause."""
    world = World()
    raws = world.trades(5)
    records = world.records([*raws[:2], *raws[3:]])
    world.auditor.take_letter(
        type("R", (), {"key": ISIN.encode(), "headers": [("received-ns", str(records[1].timestamp * 10**6).encode())]})
    )
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, records)
    await world.auditor.flush()
    assert world.latest()["holes"][0]["cause"] == "dead_letter"


async def test_growth_of_the_tick_topic_leaves_bonds_that_stay_proven():
    """Of the bonds whose partition changed that day, nothing is proven; of the others, all is."""
    stays, moves = "KR103502GA34", "KR103502GD31"
    world = World(count=2)
    raws = {isin: world.trades(4, isin) for isin in (stays, moves)}
    for number in (0, 1, 2):
        await world.auditor.begin(number, None, range(1000))
    for isin in (stays, moves):
        before = world.records(raws[isin][:2])
        after = world.records(raws[isin][2:])
        if isin == moves:
            for record in after:
                record.partition = 2
        await world.auditor.take(before[0].partition, before)
        await world.auditor.take(after[0].partition, after)
    await world.auditor.flush()
    assert (world.latest(stays)["reason"], world.latest(stays)["holes"]) == (None, [])
    written = [json.loads(each.value) for each in world.coverage.written if each.key.startswith(moves.encode())]
    assert {tuple(each["offsets"]): each["reason"] for each in written} == {
        (str(partition(moves.encode(), 2)),): "partitions",
        ("2",): "partitions",
    }


async def test_a_bond_that_moved_on_a_date_that_left_memory_is_unproven():
    """The half of an old date that lies in another partition is read back, too."""
    world = World(count=2)
    raws, own = world.trades(6, back_days=10), partition(ISIN.encode(), 2)
    for number in (0, 1):
        await world.auditor.begin(number, None, range(1000))
    await world.auditor.take(own, world.records(raws[:3], back_days=10))
    await world.auditor.flush()
    world.store()
    for number in (0, 1):
        await world.auditor.begin(number, 3, range(1000))
    later = world.records(raws[3:], back_days=10)
    await world.auditor.take(1 - own, later)
    await world.auditor.flush()
    assert {each.partition: json.loads(each.value)["reason"] for each in world.coverage.written} == {
        own: "partitions",
        1 - own: "partitions",
    }


async def test_a_tombstone_removes_a_record():
    """A day that somebody removed from the coverage topic begins anew."""
    world = World()
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records(world.trades(3)))
    await world.auditor.flush()
    world.store()
    world.stored.append(SimpleNamespace(partition=0, key=world.stored[-1].key, value=None, headers=[], offset=9))
    await world.auditor.begin(0, 3, range(1000))
    assert world.auditor.partitions[0].book.days == {}


async def test_a_topic_that_is_made_anew_while_it_is_read_proves_nothing_that_day():
    """Its offsets begin again: the new ticks count, although the record knows higher offsets."""
    world = World()
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records(world.trades(5)))
    await world.auditor.flush()
    world.offset = 0
    await world.auditor.take(0, world.records(world.trades(2)))
    assert await world.auditor.flush() == {0: 2}
    assert (world.latest()["ticks"], world.latest()["reason"]) == (7, "deleted")


@pytest.mark.parametrize("committed", [5, None])
async def test_a_topic_that_was_made_anew_before_the_start_proves_nothing_that_day(committed):
    """A record or commit beyond the topic's end is of an earlier topic of that name."""
    world = World()
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records(world.trades(5)))
    await world.auditor.flush()
    world.store()
    await world.auditor.begin(0, committed, range(3))
    world.offset = 0
    await world.auditor.take(0, world.records(world.trades(3)))
    await world.auditor.flush()
    assert (world.latest()["ticks"], world.latest()["reason"]) == (8, "deleted")


async def test_a_topic_that_was_made_anew_is_unread():
    """A commit beyond its end does not make its ticks count as read."""
    world = World()
    await world.auditor.begin(0, 5, range(3))
    world.auditor.note_ends({0: 3})
    assert world.auditor.partitions[0].lag == 3


async def test_a_new_group_counts_nothing_twice():
    """Without a commit the topic is read again, and the record's ticks are passed over."""
    world = World()
    records = world.records(world.trades(5))
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, records)
    await world.auditor.flush()
    world.store()
    await world.auditor.begin(0, None, range(5))
    await world.auditor.take(0, records)
    await world.auditor.flush()
    assert (world.latest()["ticks"], world.latest()["reason"]) == (5, None)


async def test_a_tick_of_a_day_to_come_is_unreadable():
    """Days to come would stay in memory until they are over."""
    world = World()
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records(world.trades(1, back_days=-2), back_days=-2))
    await world.auditor.take(0, world.records(world.trades(1)))
    assert (world.auditor.unreadable, len(world.auditor.partitions[0].book.days)) == (1, 1)


async def test_foreign_coverage_records_stop_nobody():
    """A record that the auditor did not write is passed over at the start, whatever it holds."""
    world = World()
    await world.auditor.begin(0, None, range(1000))
    await world.auditor.take(0, world.records(world.trades(3)))
    await world.auditor.flush()
    world.store()
    (good,) = world.stored
    foreign = [
        {"key": b"KR103502GA34/9999-12-31"},
        {"key": b"bond/2026-09-11"},
        {"headers": [("resume", b'{"last":[1,"x",2,[]]}')]},
        {"value": b"[" * 100_000},
    ]
    world.stored += [SimpleNamespace(**{**vars(good), **changed}) for changed in foreign]
    await world.auditor.begin(0, 3, range(1000))
    raws = world.trades(3)
    await world.auditor.take(0, world.records([raws[0], raws[2]]))
    await world.auditor.flush()
    assert (world.latest()["ticks"], len(world.latest()["holes"])) == (5, 1)


class Told:
    """Keeps the events that a connector publishes."""

    def __init__(self):
        self.events = []

    def publish(self, event):
        """Keep the event."""
        self.events.append(event)


async def test_several_auditors_know_a_bond_that_moved_without_seeing_each_other():
    """Each has one of the two partitions; the connector's event tells both what happened."""
    isins = (with_check_digit(f"KR10350{number:04d}") for number in range(99))
    moves = next(isin for isin in isins if partition(isin.encode(), 2) != partition(isin.encode(), 3))
    raws = World().trades(6, moves)
    for count, piece in ((2, raws[:3]), (3, raws[3:])):
        world = World(count=count)
        number = partition(moves.encode(), count)
        await world.auditor.begin(number, None, range(1000))
        await world.auditor.take(number, world.records(piece))
        EventLog(told := Told(), "one").record_partitions("ticks", 2, 3, adopted=True)
        world.event("partitions_changed", slot=None, detail=told.events[0].detail)
        await world.auditor.flush()
        assert (world.latest(moves)["state"], world.latest(moves)["reason"]) == ("UNPROVEN", "partitions")
