"""Plans how the topics should be, and compares the existing topics with the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# For the topics of ticks, events, coverage and latest values, if the operator gives no number.
DEFAULT_PARTITIONS = 6

CLEANUP = "cleanup.policy"
TIMESTAMP = "message.timestamp.type"
MIN_INSYNC = "min.insync.replicas"
OLDEST = "message.timestamp.before.max.ms"
NEWEST = "message.timestamp.after.max.ms"
LARGEST = "max.message.bytes"
RETENTION = "retention.ms"
CONFIGS = (
    CLEANUP,
    TIMESTAMP,
    MIN_INSYNC,
    OLDEST,
    NEWEST,
    LARGEST,
    RETENTION,
    "segment.ms",
    "min.cleanable.dirty.ratio",
    "unclean.leader.election.enable",
)

WEEK_MS = 7 * 86_400_000
HOUR_MS = 3_600_000
COVERAGE_KEPT_MS = 90 * 86_400_000
BATCH_BYTES = 128 * 1024  # a batch of ticks before compression
KAFKAS_BYTES = 1_048_588  # Kafka's default; a frame has at most 1 MiB
_LIMITS_OF_TICKS = {
    OLDEST: (WEEK_MS, "after a longer outage Kafka refuses the times of ticks, which then get the time of sending"),
    NEWEST: (HOUR_MS, "Kafka refuses the times of ticks if the clocks differ by more"),
    LARGEST: (BATCH_BYTES, "Kafka refuses full batches of ticks, so that smaller ones are sent"),
}
# By topic and limit: the lowest value with which Kafka refuses nothing in normal use, and what it
# refuses below that value.
_LIMITS = {
    "ticks": _LIMITS_OF_TICKS,
    "latest": _LIMITS_OF_TICKS,
    "dead_letters": {
        OLDEST: (WEEK_MS, "after a longer outage Kafka refuses the times of dead letters, which then get another"),
        NEWEST: (HOUR_MS, "Kafka refuses the times of dead letters if the clocks differ by more"),
        LARGEST: (KAFKAS_BYTES, "Kafka refuses the dead letters of large frames, which are then shortened"),
    },
    "status": {
        LARGEST: (KAFKAS_BYTES, "Kafka refuses the status records of long lists, so that these lists are refused")
    },
    "coverage": {
        LARGEST: (KAFKAS_BYTES, "Kafka refuses the records of days with many holes, so that no hole is announced")
    },
}

# Segments are closed after six hours, so that they are compacted soon and a first read stays short.
_CLEANUP = {"control": "compact", "status": "compact", "coverage": "compact,delete", "latest": "compact"}
_COMPACTED = {"segment.ms": "21600000", "min.cleanable.dirty.ratio": "0.1"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the operator may choose.

    `partitions` is for the topics of ticks, events, coverage and latest values. `slots` is for the
    slot topic, and None if it is not needed.
    """

    partitions: int
    slots: int | None
    replication_factor: int
    min_insync_replicas: int


@dataclass(frozen=True, slots=True)
class PlannedTopic:
    """One topic as it should be. `part` is the name of the topic's setting below `topics.`."""

    part: str
    name: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """One topic as Kafka describes it.

    `replication_factor` is the lowest among the partitions. `configs` are those that Kafka shows.
    """

    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a topic differs from the plan.

    `is_drift` is true if the connector cannot keep its promises because of the difference. Every
    other difference is only a warning.
    """

    topic: str
    is_drift: bool
    message: str


def default_replication(brokers: int) -> int:
    """Return the default replication factor on a cluster of this many brokers."""
    return min(3, brokers)


def default_min_insync(replication: int) -> int:
    """Return the default `min.insync.replicas` for a replication factor. One broker may be down."""
    return max(1, replication - 1)


def plan(names: Mapping[str, str], sizes: Sizes) -> list[PlannedTopic]:
    """Return every topic that is needed. `names` are the settings below `topics.`."""
    counts: dict[str, int | None] = dict.fromkeys(("ticks", "events", "coverage", "latest"), sizes.partitions)
    counts["slots"] = sizes.slots
    return [
        PlannedTopic(
            part, name, counts.get(part) or 1, sizes.replication_factor, _configs(part, sizes.min_insync_replicas)
        )
        for part, name in names.items()
        if part != "slots" or sizes.slots is not None
    ]


def _configs(part: str, min_insync_replicas: int) -> dict[str, str]:
    configs = {
        CLEANUP: _CLEANUP.get(part, "delete"),
        TIMESTAMP: "CreateTime",
        MIN_INSYNC: str(min_insync_replicas),
    }
    if part == "coverage":
        configs[RETENTION] = str(COVERAGE_KEPT_MS)
    return configs | _COMPACTED if part in _CLEANUP else configs


def as_many_as_ticks(planned: Sequence[PlannedTopic], found: Mapping[str, FoundTopic]) -> list[PlannedTopic]:
    """Return the plan with the partitions of an existing tick topic for coverage and latest values.

    The auditor writes a record into the partition of its ticks, and readers join latest values by
    key.
    """
    ticks = next((found[topic.name] for topic in planned if topic.part == "ticks" and topic.name in found), None)
    return [
        replace(topic, partitions=ticks.partitions) if ticks and topic.part in ("coverage", "latest") else topic
        for topic in planned
    ]


def compare(planned: Sequence[PlannedTopic], found: Mapping[str, FoundTopic]) -> list[Difference]:
    """Return all differences in the plan's order. A topic that is not in `found` does not exist."""
    differences: list[Difference] = []
    for topic in as_many_as_ticks(planned, found):
        differences += _differences(topic, found.get(topic.name))
        if topic.name in found:
            differences += _limits(topic, found[topic.name])
    return differences


def _limits(planned: PlannedTopic, found: FoundTopic) -> Iterator[Difference]:
    """Yield the limits by which Kafka refuses records that the connector writes."""
    for key, (enough, consequence) in _LIMITS.get(planned.part, {}).items():
        value = found.configs.get(key) or ""
        if value.isdecimal() and int(value) < enough:
            message = f"{key} is {value}: {consequence}: set it to {enough} or more"
            yield Difference(planned.name, is_drift=False, message=message)


def not_durable(names: Mapping[str, str], brokers: int, found: Mapping[str, FoundTopic]) -> list[Difference]:
    """Return the differences by which an existing topic can lose acknowledged records.

    A topic can lose records if it has fewer replicas or a lower `min.insync.replicas` than
    `topics init` would choose for this many brokers, or if it allows unclean leader elections.
    A setting that Kafka does not show is skipped.
    """
    replication = default_replication(brokers)
    sizes = Sizes(1, None, replication, default_min_insync(replication))
    planned = [
        replace(topic, partitions=found[topic.name].partitions, configs=_too_low(topic, found[topic.name]))
        for topic in plan(names, sizes)
        if topic.name in found
    ]
    return [difference for topic in planned for difference in _differences(topic, found[topic.name])]


def _too_low(planned: PlannedTopic, found: FoundTopic) -> Mapping[str, str]:
    value = found.configs.get(MIN_INSYNC) or ""
    is_too_low = value.isdecimal() and int(value) < int(planned.configs[MIN_INSYNC])
    return {MIN_INSYNC: planned.configs[MIN_INSYNC]} if is_too_low else {}


def _differences(planned: PlannedTopic, found: FoundTopic | None) -> Iterator[Difference]:
    name = planned.name
    if found is None:
        yield _absence(planned)
        return
    if found.partitions != planned.partitions:
        yield _of_partitions(planned, found.partitions)
    if found.replication_factor < planned.replication_factor:
        message = f"has {found.replication_factor} replicas, not {planned.replication_factor}: reassign its partitions"
        yield Difference(name, is_drift=False, message=message)
    for key, wanted in planned.configs.items():
        value = found.configs.get(key)
        if value is None:
            yield Difference(
                name, is_drift=False, message=f"{key} was not shown by Kafka: allow DescribeConfigs to have it checked"
            )
        elif key == MIN_INSYNC and value.isdecimal() and int(value) > found.replication_factor:
            message = (
                f"{key} is {value}, but there are {found.replication_factor} replicas, so Kafka refuses every record: "
                f"set it to {default_min_insync(found.replication_factor)}"
            )
            yield Difference(name, is_drift=False, message=message)
        elif key == CLEANUP and planned.part == "dead_letters" and "compact" in value:
            message = (
                f"{key} is {value}, not {wanted}: later dead letters of a bond replace earlier ones: alter the topic"
            )
            yield Difference(name, is_drift=True, message=message)
        elif not _same(key, wanted, value):
            yield Difference(
                name, key in {CLEANUP, TIMESTAMP}, f"{key} is {value or 'empty'}, not {wanted}: alter the topic"
            )
    if found.configs.get("unclean.leader.election.enable") == "true":
        message = "unclean.leader.election.enable is true, so acknowledged records can be lost: set it to false"
        yield Difference(name, is_drift=False, message=message)


def _absence(planned: PlannedTopic) -> Difference:
    if planned.part == "coverage":
        message = "is missing, so that the auditor cannot start: run kis-bond topics init"
        return Difference(planned.name, is_drift=False, message=message)
    return Difference(planned.name, is_drift=True, message="is missing: run kis-bond topics init")


def _of_partitions(planned: PlannedTopic, found: int) -> Difference:
    match planned.part:
        case "control" | "status":
            return Difference(
                planned.name, is_drift=True, message=f"has {found} partitions, not 1: delete it and create it again"
            )
        case "slots" if found < planned.partitions:
            message = f"has {found} partitions for {planned.partitions} app keys: add partitions"
            return Difference(planned.name, is_drift=True, message=message)
        case "coverage":
            message = f"has {found} partitions, but the ticks have {planned.partitions}: delete it and create it again"
            return Difference(planned.name, is_drift=True, message=message)
        case _:
            message = f"has {found} partitions, not {planned.partitions}: readers that join by key need equal counts"
            return Difference(planned.name, is_drift=False, message=message)


def _same(key: str, wanted: str, value: str) -> bool:
    if key == CLEANUP:
        return {part.strip() for part in value.split(",")} == set(wanted.split(","))
    try:
        # Kafka shows a ratio as it was typed: 0.10 equals 0.1.
        return float(wanted) == float(value)
    except ValueError:
        return wanted == value
