"""How topics should be, and what counts as drift."""

from dataclasses import replace

import pytest

from connector.core.topic_plan import Difference, FoundTopic, Sizes, compare, not_durable, plan

NAMES = {"ticks": "t", "control": "c", "status": "s", "events": "e", "dead_letters": "d", "slots": "k"}
SIZES = Sizes(partitions=6, slots=2, replication_factor=3, min_insync_replicas=2)


def as_planned(sizes=SIZES):
    """Return every topic as Kafka describes it when nothing differs."""
    return {
        topic.name: FoundTopic(topic.partitions, topic.replication_factor, dict(topic.configs))
        for topic in plan(NAMES, sizes)
    }


def changed(name, configs=None, **fields):
    """Return the differences if one topic has other fields or configs; None removes a config."""
    found = as_planned()
    merged = {key: value for key, value in (found[name].configs | (configs or {})).items() if value is not None}
    found[name] = replace(found[name], configs=merged, **fields)
    return [(each.topic, each.is_drift) for each in compare(plan(NAMES, SIZES), found)]


def test_plan():
    """Each topic has the partitions, the clean-up policy and the settings of the contract."""
    planned = {topic.part: topic for topic in plan(NAMES, SIZES)}
    assert {part: topic.partitions for part, topic in planned.items()} == {
        "ticks": 6,
        "control": 1,
        "status": 1,
        "events": 6,
        "dead_letters": 1,
        "slots": 2,
    }
    deleted = {"cleanup.policy": "delete", "message.timestamp.type": "CreateTime", "min.insync.replicas": "2"}
    compacted = deleted | {"cleanup.policy": "compact", "segment.ms": "21600000", "min.cleanable.dirty.ratio": "0.1"}
    for part, topic in planned.items():
        assert topic.configs == (compacted if part in {"control", "status"} else deleted)


def test_slot_topic_only_where_needed():
    """Without slots there is no slot topic."""
    assert "slots" not in {topic.part for topic in plan(NAMES, replace(SIZES, slots=None))}


def test_no_difference():
    """Topics as planned show no difference, whatever their other settings."""
    assert compare(plan(NAMES, SIZES), as_planned()) == []
    assert changed("s", {"min.cleanable.dirty.ratio": "0.10", "unclean.leader.election.enable": "false"}) == []


def test_missing_topic_is_drift():
    """A missing topic is drift, and the message gives the remedy."""
    found = as_planned()
    del found["t"]
    assert compare(plan(NAMES, SIZES), found) == [
        Difference("t", is_drift=True, message="is missing: run kis-bond topics init")
    ]


@pytest.mark.parametrize(
    ("name", "configs", "fields", "is_drift"),
    [
        ("c", {"cleanup.policy": "delete"}, {}, True),
        ("c", {"cleanup.policy": "compact,delete"}, {}, True),
        ("t", {"cleanup.policy": "compact"}, {}, True),
        ("t", {"message.timestamp.type": "LogAppendTime"}, {}, True),
        ("c", {}, {"partitions": 2}, True),
        ("s", {}, {"partitions": 2}, True),
        ("k", {}, {"partitions": 1}, True),
        ("k", {}, {"partitions": 3}, False),
        ("t", {}, {"partitions": 12}, False),
        ("d", {}, {"partitions": 2}, False),
        ("t", {}, {"replication_factor": 2}, False),
        ("t", {"min.insync.replicas": "1"}, {}, False),
        ("c", {"segment.ms": "1"}, {}, False),
        ("c", {"min.cleanable.dirty.ratio": "0.5"}, {}, False),
        ("t", {"cleanup.policy": None}, {}, False),
        ("t", {"unclean.leader.election.enable": "true"}, {}, False),
    ],
)
def test_drift_and_warnings(name, configs, fields, is_drift):
    """A difference that breaks a promise is drift; any other is a warning."""
    assert changed(name, configs, **fields) == [(name, is_drift)]


@pytest.mark.parametrize(
    ("brokers", "replicas", "configs", "messages"),
    [
        (3, 3, {"min.insync.replicas": "2"}, []),
        (1, 1, {"min.insync.replicas": "1"}, []),
        (5, 3, {"min.insync.replicas": "3", "cleanup.policy": "compact"}, []),
        (3, 3, {}, []),
        (3, 3, {"min.insync.replicas": ""}, []),
        (3, 3, {"min.insync.replicas": "1"}, ["min.insync.replicas is 1, not 2: alter the topic"]),
        (3, 1, {"min.insync.replicas": "2"}, ["has 1 replicas, not 3: reassign its partitions"]),
        (
            3,
            3,
            {"unclean.leader.election.enable": "true"},
            ["unclean.leader.election.enable is true, so acknowledged records can be lost: set it to false"],
        ),
    ],
)
def test_topics_that_are_not_durable(brokers, replicas, configs, messages):
    """Exactly the differences that can lose acknowledged records are reported."""
    found = {"t": FoundTopic(12, replicas, configs), "k": FoundTopic(1, 1, {"min.insync.replicas": "1"})}
    differences = not_durable(NAMES, brokers, found)
    assert [each.message for each in differences] == messages
    assert {(each.topic, each.is_drift) for each in differences} <= {("t", False)}
