"""How the topics ought to be, and how far those that exist are from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CLEANUP = "cleanup.policy"
TIMESTAMP = "message.timestamp.type"
MIN_INSYNC = "min.insync.replicas"
CONFIGS = (CLEANUP, TIMESTAMP, MIN_INSYNC, "segment.ms", "min.cleanable.dirty.ratio", "unclean.leader.election.enable")

# A tombstone or an edit is compacted within a quarter of a day, so that a reader's first read stays short.
_COMPACTED = {"segment.ms": "21600000", "min.cleanable.dirty.ratio": "0.1"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the operator may choose: partitions of the ticks and events, of the slot topic (None: it is not needed), and replication."""

    partitions: int
    slots: int | None
    replication_factor: int
    min_insync_replicas: int


@dataclass(frozen=True, slots=True)
class PlannedTopic:
    """One topic as it is to be created; `part` is its setting's name below `topics.`."""

    part: str
    name: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """One topic as Kafka describes it; `replication_factor` is the least of its partitions', `configs` has what Kafka showed."""

    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a topic is not as planned; drift keeps the connector from its promises, the rest is a warning."""

    topic: str
    is_drift: bool
    message: str


def default_replication(brokers: int) -> int:
    """Return the replication factor of topics for which none is asked, on a cluster of so many brokers."""
    return min(3, brokers)


def default_min_insync(replication: int) -> int:
    """Return `min.insync.replicas` of topics of this replication for which none is asked: one broker may be away."""
    return max(1, replication - 1)


def plan(names: Mapping[str, str], sizes: Sizes) -> list[PlannedTopic]:
    """Return every topic there should be; `names` are the settings below `topics.`."""
    counts = {"ticks": sizes.partitions, "events": sizes.partitions, "slots": sizes.slots}
    return [
        PlannedTopic(
            part, name, counts.get(part) or 1, sizes.replication_factor, _configs(part, sizes.min_insync_replicas)
        )
        for part, name in names.items()
        if part != "slots" or sizes.slots is not None
    ]


def _configs(part: str, min_insync_replicas: int) -> dict[str, str]:
    compacted = part in {"control", "status"}
    configs = {
        CLEANUP: "compact" if compacted else "delete",
        TIMESTAMP: "CreateTime",
        MIN_INSYNC: str(min_insync_replicas),
    }
    return configs | _COMPACTED if compacted else configs


def compare(planned: Sequence[PlannedTopic], found: Mapping[str, FoundTopic]) -> list[Difference]:
    """Return all differences, topic by topic in the plan's order; `found` is by topic name and lacks what does not exist."""
    return [difference for topic in planned for difference in _differences(topic, found.get(topic.name))]


def not_durable(names: Mapping[str, str], brokers: int, found: Mapping[str, FoundTopic]) -> list[Difference]:
    """Return those of `compare`'s differences by which acknowledged records can be lost, for topics that exist and hold any.

    That is less replication, or a lower `min.insync.replicas`, than `topics init` would choose for the cluster's `brokers`; where Kafka
    does not show the latter, nothing is said of it.
    """
    replication = default_replication(brokers)
    sizes = Sizes(1, None, replication, default_min_insync(replication))
    planned = [
        replace(topic, partitions=found[topic.name].partitions, configs=_too_low(topic, found[topic.name]))
        for topic in plan(names, sizes)
        if topic.name in found
    ]
    return compare(planned, found)


def _too_low(planned: PlannedTopic, found: FoundTopic) -> Mapping[str, str]:
    value = found.configs.get(MIN_INSYNC) or ""
    is_too_low = value.isdecimal() and int(value) < int(planned.configs[MIN_INSYNC])
    return {MIN_INSYNC: planned.configs[MIN_INSYNC]} if is_too_low else {}


def _differences(planned: PlannedTopic, found: FoundTopic | None) -> Iterator[Difference]:
    name = planned.name
    if found is None:
        yield Difference(name, is_drift=True, message="is missing: run kis-bond topics init")
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
        elif not _same(key, wanted, value):
            yield Difference(
                name, key in {CLEANUP, TIMESTAMP}, f"{key} is {value or 'empty'}, not {wanted}: alter the topic"
            )
    if found.configs.get("unclean.leader.election.enable") == "true":
        message = "unclean.leader.election.enable is true, so acknowledged records can be lost: set it to false"
        yield Difference(name, is_drift=False, message=message)


def _of_partitions(planned: PlannedTopic, found: int) -> Difference:
    match planned.part:
        case "control" | "status":
            return Difference(
                planned.name, is_drift=True, message=f"has {found} partitions, not 1: delete it and create it anew"
            )
        case "slots" if found < planned.partitions:
            message = f"has {found} partitions for {planned.partitions} app keys: add partitions"
            return Difference(planned.name, is_drift=True, message=message)
        case _:
            message = f"has {found} partitions, not {planned.partitions}: readers that join by key need equal counts"
            return Difference(planned.name, is_drift=False, message=message)


def _same(key: str, wanted: str, value: str) -> bool:
    if key == CLEANUP:
        return {part.strip() for part in value.split(",")} == {wanted}
    try:
        # Kafka shows a ratio as it was typed: 0.10 is 0.1.
        return float(wanted) == float(value)
    except ValueError:
        return wanted == value
