"""How topics should be, and what counts as drift."""

from dataclasses import replace

import pytest

from connector.core import topic_plan
from connector.core.topic_plan import Difference, FoundTopic, Sizes, compare, not_durable, plan
from connector.shell.kafka import clients

NAMES = {
    "ticks": "t",
    "control": "c",
    "status": "s",
    "events": "e",
    "dead_letters": "d",
    "slots": "k",
    "coverage": "g",
    "latest": "l",
}
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
        "coverage": 6,
        "latest": 6,
    }
    deleted = {"cleanup.policy": "delete", "message.timestamp.type": "CreateTime", "min.insync.replicas": "2"}
    compacted = deleted | {"cleanup.policy": "compact", "segment.ms": "21600000", "min.cleanable.dirty.ratio": "0.1"}
    assert planned.pop("coverage").configs == compacted | {
        "cleanup.policy": "compact,delete",
        "retention.ms": str(90 * 24 * 3600 * 1000),
    }
    for part, topic in planned.items():
        assert topic.configs == (compacted if part in {"control", "status", "latest"} else deleted)


def test_slot_topic_only_where_needed():
    """Without slots there is no slot topic."""
    assert "slots" not in {topic.part for topic in plan(NAMES, replace(SIZES, slots=None))}


def test_no_difference():
    """Topics as planned show no difference, whatever their other settings."""
    assert compare(plan(NAMES, SIZES), as_planned()) == []
    assert changed("g", {"cleanup.policy": "delete, compact"}) == []
    assert changed("s", {"min.cleanable.dirty.ratio": "0.10", "unclean.leader.election.enable": "false"}) == []


def test_missing_topic_is_drift():
    """A missing topic is drift, and the message gives the remedy."""
    found = as_planned()
    del found["t"]
    assert compare(plan(NAMES, SIZES), found) == [
        Difference("t", is_drift=True, message="is missing: run kis-bond topics init")
    ]


def test_missing_coverage_topic_is_a_warning():
    """The connector does not need it; the auditor does."""
    found = as_planned()
    del found["g"]
    ((topic, is_drift),) = ((each.topic, each.is_drift) for each in compare(plan(NAMES, SIZES), found))
    assert (topic, is_drift) == ("g", False)


def test_coverage_has_the_partitions_of_the_existing_ticks():
    """Coverage of another size than the ticks is drift; latest values of another are a warning."""
    found = as_planned()
    found["t"] = replace(found["t"], partitions=12)
    drift = {each.topic: each.is_drift for each in compare(plan(NAMES, SIZES), found)}
    assert drift == {"t": False, "g": True, "l": False}
    found["g"], found["l"] = replace(found["g"], partitions=12), replace(found["l"], partitions=12)
    assert {each.topic: each.is_drift for each in compare(plan(NAMES, SIZES), found)} == {"t": False}
    planned = {topic.part: topic.partitions for topic in topic_plan.as_many_as_ticks(plan(NAMES, SIZES), found)}
    assert (planned["coverage"], planned["latest"], planned["ticks"], planned["events"]) == (12, 12, 6, 6)


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
        ("g", {}, {"partitions": 5}, True),
        ("g", {"cleanup.policy": "compact"}, {}, True),
        ("g", {"retention.ms": "604800000"}, {}, False),
        ("d", {}, {"partitions": 2}, False),
        ("l", {"cleanup.policy": "delete"}, {}, True),
        ("l", {"max.message.bytes": "1000"}, {}, False),
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
    ("name", "configs", "enough"),
    [
        ("t", {"message.timestamp.before.max.ms": "604799999"}, 604_800_000),
        ("d", {"message.timestamp.before.max.ms": "20000"}, 604_800_000),
        ("t", {"message.timestamp.after.max.ms": "3599999"}, 3_600_000),
        ("d", {"message.timestamp.after.max.ms": "0"}, 3_600_000),
        ("t", {"max.message.bytes": "131071"}, 131_072),
        ("d", {"max.message.bytes": "1048587"}, 1_048_588),
        ("s", {"max.message.bytes": "1048587"}, 1_048_588),
        ("g", {"max.message.bytes": "1048587"}, 1_048_588),
    ],
)
def test_limits_by_which_kafka_refuses_records(name, configs, enough):
    """A limit that is too low is a warning with the value that would do, and that value does."""
    found = as_planned()
    found[name] = replace(found[name], configs=found[name].configs | configs)
    (difference,) = compare(plan(NAMES, SIZES), found)
    (limit, value), *_ = configs.items()
    assert (difference.topic, difference.is_drift) == (name, False)
    assert difference.message.startswith(
        f"{limit} is {value}: Kafka" if "before" not in limit else f"{limit} is {value}: "
    )
    assert difference.message.endswith(f": set it to {enough} or more")
    assert changed(name, {limit: str(enough)}) == []
    assert changed("e", configs) == [], "other topics have no such limit"
    assert not_durable(NAMES, 3, found) == [], "a refused record is not lost"


def test_more_in_sync_replicas_than_replicas():
    """Then nothing can be written; the warning says what would do."""
    found = as_planned()
    found["t"] = replace(found["t"], configs=found["t"].configs | {"min.insync.replicas": "4"})
    (difference,) = compare(plan(NAMES, SIZES), found)
    assert not difference.is_drift
    assert "refuses every record" in difference.message
    assert difference.message.endswith("set it to 2")


def test_a_compacted_dead_letter_topic():
    """It is drift, and the message says what it costs."""
    found = as_planned()
    found["d"] = replace(found["d"], configs=found["d"].configs | {"cleanup.policy": "compact"})
    (difference,) = compare(plan(NAMES, SIZES), found)
    assert difference.is_drift
    assert "replace earlier ones" in difference.message


def test_a_batch_has_the_size_that_the_producer_gives_it():
    """The plan knows how large a batch of ticks gets."""
    assert topic_plan.BATCH_BYTES == clients.BATCH_BYTES


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
