import json
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from connector.core import status
from connector.core.bonds import isin
from connector.core.lists import saved_lists
from connector.core.lists.subscription import Lists
from connector.core.steps import finished
from connector.shell.kafka.compacted_topic import TopicRecord
from connector.shell.topics.control import ControlTopic
from tests.core.lists.at_once import desired

BONDS = [isin.with_check_digit(f"KR{number:09}") for number in range(30)]
A, B, C = BONDS[:3]


def record(offset, name, bonds):
    """Make a list's record; a value that is bytes or None is used as it is."""
    value = json.dumps({"instruments": bonds}).encode() if isinstance(bonds, list) else bonds
    return TopicRecord(name, value, 0, offset, offset)


class Control:
    """A control topic; `changes` holds, for each change, the desired and the newly named bonds."""

    def __init__(self, previous=None):
        self.changes = []
        self.topic = ControlTopic(
            lambda: saved_lists.from_status({}, previous),
            lambda named: self.changes.append(([bond.isin for bond in desired(self.topic.lists)], set(named))),
        )

    def read(self, records):
        """Give the topic a complete reading."""
        finished(self.topic.snapshot(records))

    def follow(self, records):
        """Give the topic records after its reading."""
        finished(self.topic.follow(records))


def test_unknown_is_not_empty():
    """Before the first reading there are no lists at all, and nothing is reported."""
    control = Control()
    assert control.topic.lists is None
    assert control.changes == []
    control.read([])
    assert control.changes == [([], set())]
    assert control.topic.lists == Lists()


def test_a_reading_and_what_follows_are_reported():
    """A reading asks for all its bonds; a later record asks for those that are new in its list."""
    control = Control()
    control.read([record(0, b"a", [A]), record(1, b"b", [B])])
    control.follow([record(2, b"a", [A])])
    control.follow([record(3, b"b", [C]), record(4, b"a", None)])
    assert control.changes == [([A, B], {A, B}), ([A, B], set()), ([C], {C})]


def refused(lists, name, in_force, reason="too large"):
    """Return the list's entry as refused, with this content in force."""
    return replace(lists.entries[name], in_force=in_force, refusal=reason)


def test_an_accepted_record_that_cannot_be_reported_is_refused_after_all():
    """The content before it is in force again, and its bonds count for no removal guard."""
    control = Control()
    control.read([record(0, b"a", [A])])
    before = control.topic.lists.entries["a"].in_force
    control.follow([record(1, b"a", BONDS), record(2, b"b", [C])])
    control.topic.refuse("a", refused(control.topic.lists, "a", before))
    assert control.changes[-1][0] == [A, C]
    assert control.topic.lists.entries["a"].refusal == "too large"
    control.follow([record(3, b"b", None)])
    assert control.changes[-1][0] == [A]


def test_a_list_that_cannot_be_reported_is_refused_on_each_replica():
    """The record in the topic says what stays in force, and other replicas follow the refusal."""
    one, two = Control(), Control()
    for control in (one, two):
        control.read([record(0, b"a", [A])])
    before = reports(one)
    for control in (one, two):
        control.follow([record(1, b"a", [B])])
    one.topic.refuse_unreported("list/a", reports(one)["list/a"], before["list/a"])
    assert one.changes[-1][0] == [A]
    assert "max.message.bytes" in one.topic.lists.entries["a"].refusal
    two.topic.follow_refusal("list/a", reports(two)["list/a"])
    assert two.changes[-1][0] == [B]
    two.topic.follow_refusal("list/a", reports(one)["list/a"])
    assert two.topic.lists == one.topic.lists
    one.read([record(1, b"a", [B])])
    assert two.topic.lists.entries == one.topic.lists.entries


def reports(control):
    """Return the status records of the lists."""
    return status.records(status.ReplicaView({}, {}, control.topic.lists, "me"), {}, "2026-01-02T00:00:00Z")


def test_a_late_refusal_of_an_older_record_changes_nothing():
    """A later record is judged by itself, also one that is being judged at the time."""
    control = Control()
    control.read([record(0, b"a", [A])])
    late = refused(control.topic.lists, "a", None)
    steps = control.topic.follow([record(1, b"a", [B]), *(record(2, b"%d" % number, BONDS) for number in range(300))])
    next(steps)
    control.topic.refuse("a", late)
    finished(steps)
    assert control.topic.lists.entries["a"].refusal is None
    control.topic.refuse("gone", late)
    assert control.topic.lists.entries["a"].in_force.wish.instruments == (B,)


def test_a_refusal_while_records_are_judged_is_not_lost():
    """What is judged in steps does not overwrite the refusal of another list."""
    control = Control()
    control.read([record(0, b"a", [A])])
    steps = control.topic.follow([record(1 + number, b"%d" % number, BONDS) for number in range(300)])
    next(steps)
    control.topic.refuse("a", refused(control.topic.lists, "a", None))
    finished(steps)
    assert control.topic.lists.entries["a"].refusal == "too large"


def test_saved_lists_are_used_until_the_topic_is_read():
    """Saved lists are in force while Kafka is away, and the first reading is judged by them."""
    saved = Control()
    saved.read([record(0, b"a", BONDS)])
    control = Control(saved.topic.lists)
    control.topic.use_saved(saved.topic.lists)
    assert len(control.changes[-1][0]) == 30
    assert not control.topic.is_read
    control.read([])
    assert control.topic.is_read
    assert len(control.changes[-1][0]) == 30
    assert control.topic.lists.entries["a"].refusal.startswith("removal guard")


def test_saved_lists_do_not_replace_what_was_read():
    """Saved lists are ignored once the topic has been read."""
    control = Control()
    control.read([record(0, b"a", [A])])
    control.topic.use_saved(Lists())
    assert len(control.changes) == 1
    assert set(control.topic.lists.entries) == {"a"}


def test_a_second_reading_is_judged_against_the_first():
    """A topic that was wiped while the connector ran drops nothing."""
    control = Control()
    control.read([record(0, b"a", BONDS)])
    control.read([])
    assert len(control.changes[-1][0]) == 30


def test_removals_count_together_over_polls_and_readings():
    """Two removals of half each are held back, whether they come in two polls or by a reading."""
    control = Control()
    control.read([record(0, b"a", BONDS[:20])])
    control.follow([record(1, b"a", BONDS[:11])])
    control.follow([record(2, b"a", BONDS[:5])])
    assert len(control.changes[-1][0]) == 11
    control.read([record(2, b"a", BONDS[:5]), record(3, b"a", BONDS[:4])])
    assert len(control.changes[-1][0]) == 11


def test_a_repeated_value_asks_for_nothing():
    """Another note, requester or time asks for nothing new; a new priority asks for all."""
    control = Control()
    value = {"instruments": [A, B], "note": "x", "requested_by": "y", "requested_at": "2026-11-28T00:00:00Z"}
    control.read([record(0, b"a", json.dumps(value).encode())])
    same = value | {"note": "z", "requested_by": "w", "requested_at": "2026-11-28T00:00:01Z"}
    control.follow([record(1, b"a", json.dumps(same).encode())])
    assert control.changes[-1][1] == set()
    control.follow([record(2, b"a", json.dumps(same | {"priority": 6}).encode())])
    assert control.changes[-1][1] == {A, B}
    control.follow([record(3, b"b", [B, C])])
    assert control.changes[-1][1] == {B, C}


def test_a_refusal_is_logged_with_its_offset():
    """A refusal's log line has list, offset, reason and what stays in force; it names no bonds."""
    control = Control()
    with capture_logs() as logs:
        control.read([record(0, b"a", [A, B]), record(7, b"a", b"bad"), record(8, b"new", b"[]")])
    assert control.changes == [([A, B], {A, B})]
    refused, hopeless = [line for line in logs if line["event"] == "control_record_refused"]
    assert (refused["list"], refused["partition"], refused["offset"]) == ("a", 0, 7)
    assert "not JSON" in refused["reason"]
    assert refused["kept"] == "the 2 instruments of offset 0"
    assert (hopeless["list"], hopeless["offset"], hopeless["kept"]) == (
        "new",
        8,
        "nothing: the list has no good content",
    )


def test_a_large_record_is_judged_in_steps():
    """An edit of 10,000 bonds takes several steps, and nothing changes before the last one."""
    bonds = [isin.with_check_digit(f"KR{number:09}") for number in range(10_000)]
    control = Control()
    control.read([record(0, b"a", bonds)])
    steps = control.topic.follow([record(1, b"a", json.dumps({"instruments": bonds, "priority": 9}).encode())])
    changes_during = [len(control.changes) for _ in steps]
    assert len(changes_during) >= 4
    assert set(changes_during) == {1}
    assert len(control.changes) == 2


def test_every_refusal_is_logged():
    """Each of several bad records that come together is logged, even if a good one follows."""
    control = Control()
    control.read([record(0, b"a", [A])])
    with capture_logs() as logs:
        control.follow(
            [record(1, b"a", b"bad"), record(2, b"a", [A, B]), record(3, b"a", b"worse"), record(4, b"a", [C])]
        )
    logged = [(line["offset"], line["kept"]) for line in logs if line["event"] == "control_record_refused"]
    assert logged == [(1, "the 1 instruments of offset 0"), (3, "the 2 instruments of offset 2")]
    assert control.changes[-1] == ([C], {C})


def test_a_refusal_is_logged_once():
    """The refusal of a list is not logged again with each later record."""
    control = Control()
    control.read([record(0, b"a", b"bad")])
    with capture_logs() as logs:
        control.follow([record(1, b"b", [B])])
        control.follow([record(2, b"a", b"worse")])
    assert [(line["list"], line["offset"]) for line in logs] == [("a", 2)]


@pytest.mark.parametrize("key", [None, b"\xff", b"x" * 1_000_000])
def test_a_record_without_a_list_name_is_counted(key):
    """A missing, non-UTF-8 or very long key is logged and counted, and changes nothing."""
    control = Control()
    control.read([record(0, b"a", [A])])
    with capture_logs() as logs:
        control.follow([record(1, key, [B])])
    assert control.topic.ignored == 1
    assert control.changes[-1] == ([A], set())
    assert [(line["event"], line["offset"]) for line in logs] == [("control_record_ignored", 1)]
    assert "longer than 1000 characters" in logs[0]["reason"]
    assert len(str(logs)) < 500
