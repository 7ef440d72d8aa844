"""`kis-bond topics`: create missing topics, and report how existing ones differ."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, say
from connector.cli.table import Column, print_table
from connector.core.printable import printable
from connector.core.topic_plan import (
    DEFAULT_PARTITIONS,
    PlannedTopic,
    Sizes,
    as_many_as_ticks,
    compare,
    default_min_insync,
    default_replication,
    plan,
)
from connector.errors import ConfigurationError, NotInTime, RequestMalformed
from connector.shell.kis.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.core.topic_plan import Difference, FoundTopic
    from connector.settings import Settings
    from connector.shell.kafka.admin import TopicAdmin

POLL_SECONDS = 0.1

app = typer.Typer(no_args_is_help=True, help="Create and verify the topics.")

# Kafka's controller would take minutes to make more, and every client reads about each of them.
_MOST_PARTITIONS = 10_000
# Kafka counts the replicas of a partition in 16 bits.
_MOST_REPLICAS = 32_767

Partitions = Annotated[
    int,
    typer.Option(
        min=1, max=_MOST_PARTITIONS, metavar="N", help="Partitions of the topics of ticks, events and coverage."
    ),
]
Replication = Annotated[
    int | None,
    typer.Option(
        min=1, max=_MOST_REPLICAS, metavar="N", help="Default: 3, or the number of brokers if there are fewer."
    ),
]
MinInsync = Annotated[
    int | None,
    typer.Option(
        min=1, max=_MOST_REPLICAS, metavar="N", help="Default: one less than the replication factor, at least 1."
    ),
]
Slots = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=_MOST_PARTITIONS,
        metavar="N",
        help="Partitions of the slot topic. Default: the number of app keys configured, else 1.",
    ),
]


@app.command(epilog="Example: kis-bond topics init --replication-factor 3 --partitions 12 --register-schema")
def init(
    context: typer.Context,
    *,
    replication_factor: Replication = None,
    min_insync_replicas: MinInsync = None,
    partitions: Partitions = DEFAULT_PARTITIONS,
    slots: Slots = None,
    register_schema: Annotated[
        bool, typer.Option("--register-schema", help="Register the schema of ticks in the registry.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Create the missing topics. Existing topics are never changed; drift ends with 5."""
    settings = load_settings(context, config)
    if register_schema and settings.registry.url is None:
        raise ConfigurationError(["registry.url: is needed with --register-schema: set it"])
    options = _SizeOptions(partitions, replication_factor, min_insync_replicas, slots)
    report = asyncio.run(_compare(settings, options, create=True))
    problem = _register(settings, report) if register_schema else None
    _finish(report, problem, as_json=as_json)


@app.command(epilog="Example: kis-bond topics verify --json")
def verify(
    context: typer.Context,
    *,
    replication_factor: Replication = None,
    min_insync_replicas: MinInsync = None,
    partitions: Partitions = DEFAULT_PARTITIONS,
    slots: Slots = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Compare the topics with the needed ones. Drift ends with 5; the rest are warnings.

    With registry.url, the registry's subject of ticks is compared too.
    """
    options, settings = (
        _SizeOptions(partitions, replication_factor, min_insync_replicas, slots),
        load_settings(context, config),
    )
    report = asyncio.run(_compare(settings, options, create=False))
    problem = None if settings.registry.url is None else _look_at_subject(settings, report)
    _finish(report, problem, as_json=as_json)


class _SizeOptions:
    """The sizes given as options; `sizes` derives the others from the cluster and settings."""

    def __init__(
        self,
        partitions: int = DEFAULT_PARTITIONS,
        replication: int | None = None,
        min_insync: int | None = None,
        slots: int | None = None,
    ) -> None:
        self.partitions, self.replication, self.min_insync, self.slots = partitions, replication, min_insync, slots

    def sizes(self, settings: Settings, brokers: int) -> Sizes:
        replication = self.replication or default_replication(brokers)
        min_insync = self.min_insync or default_min_insync(replication)
        if min_insync > replication:
            raise RequestMalformed(
                f"--min-insync-replicas {min_insync} is more than the replication factor, {replication}: "
                "nothing could be written"
            )
        needed = settings.replicas.coordination == "group" or self.slots is not None
        slots = self.slots or max(1, Credentials(settings.kis).count())
        return Sizes(self.partitions, slots if needed else None, replication, min_insync)


async def find_differences(settings: Settings) -> list[Difference]:
    """Return how the topics differ from what `topics init` would create by default.

    Raises NotInTime.
    """
    async with _connected(settings) as admin:
        planned = plan(settings.topics.names(), _SizeOptions().sizes(settings, await admin.brokers()))
        return compare(planned, await admin.find([topic.name for topic in planned]))


def _connected(settings: Settings) -> Any:
    # Imported only here, so that `--help` need not load the Kafka client.
    from connector.cli.kafka_access import client_arguments
    from connector.shell.kafka.admin import TopicAdmin

    return TopicAdmin.connect(client_arguments(settings))


async def _compare(settings: Settings, options: _SizeOptions, *, create: bool) -> dict[str, Any]:
    async with _connected(settings) as admin:
        planned = plan(settings.topics.names(), options.sizes(settings, await admin.brokers()))
        names = [topic.name for topic in planned]
        before = await admin.find(names)
        missing = [topic for topic in as_many_as_ticks(planned, before) if topic.name not in before]
        if not create or not missing:
            return _report(planned, before, [], compare(planned, before))
        await create_topics(admin, missing)
        after = await admin.find(names)
        return _report(planned, after, [topic.name for topic in missing], compare(planned, after))


async def create_topics(admin: TopicAdmin, planned: Sequence[PlannedTopic]) -> None:
    """Create topics, and wait until the broker that answers us knows them. Raises NotInTime.

    `TopicAdmin.connect` bounds the wait.
    """
    if failed := await admin.create(planned):
        lines = [printable(f"{name} was not created: {why}") for name, why in failed.items()]
        raise NotInTime("\n".join(lines))
    names = [topic.name for topic in planned]
    found: Mapping[str, FoundTopic] = {}
    while not all(name in found and found[name].partitions for name in names):
        await asyncio.sleep(POLL_SECONDS)
        found = await admin.find(names)


def _report(
    planned: list[PlannedTopic], found: dict[str, FoundTopic], created: list[str], differences: list[Difference]
) -> dict[str, Any]:
    return {
        "topics": [
            {
                "topic": topic.name,
                "state": "created" if topic.name in created else "exists" if topic.name in found else "missing",
                "partitions": found[topic.name].partitions if topic.name in found else None,
                "replication_factor": found[topic.name].replication_factor if topic.name in found else None,
                "drift": [each.message for each in differences if each.topic == topic.name and each.is_drift],
                "warnings": [each.message for each in differences if each.topic == topic.name and not each.is_drift],
            }
            for topic in planned
        ]
    }


def _finish(report: dict[str, Any], problem: str | None, *, as_json: bool) -> None:
    """Print the report. Raises NotInTime if there is drift, or a problem with the registry."""
    drifted = [topic["topic"] for topic in report["topics"] if topic["drift"]]
    if as_json:
        print_json(report)
    else:
        _print(report)
    problems = [f"Drift was found in {', '.join(drifted)}."] if drifted else []
    if problem is not None:
        problems.append(problem)
    if problems:
        raise NotInTime("\n".join(problems))


def _print(report: dict[str, Any]) -> None:
    rows: list[tuple[str, ...]] = []
    for topic in report["topics"]:
        findings = [f"drift: {text}" for text in topic["drift"]] + [f"warning: {text}" for text in topic["warnings"]]
        counts = (str(topic[part] or "-") for part in ("partitions", "replication_factor"))
        rows.append((topic["topic"], topic["state"], *counts, "; ".join(findings)))
    print_table((Column("topic", "whole"), Column("state", "whole"), "partitions", "replicas", "findings"), rows)
    if report.get("schema_id") is not None:
        say(f"The schema of {report['subject']} is registered under id {report['schema_id']}.")
    if report.get("level") is not None:
        say(f"The compatibility level of {report['subject']} is {report['level']}.")
    for warning in report.get("schema_warnings", []):
        say(f"Warning: {warning}.")


def _register(settings: Settings, report: dict[str, Any]) -> str | None:
    """Register the schema, and add what the registry holds to the report; return what failed."""
    from connector.cli import subject

    report |= {"subject": f"{settings.topics.ticks}-value", "schema_id": None}
    try:
        found = asyncio.run(subject.register(settings, None))
    except NotInTime as error:
        return f"The topics are there, but the schema of ticks is not registered: {error}"
    report |= {"schema_id": found.schema_id, "level": found.level, "schema_warnings": found.warnings}
    return None


def _look_at_subject(settings: Settings, report: dict[str, Any]) -> str | None:
    """Add what the registry holds to the report; return what is wrong with it."""
    from connector.cli import subject

    try:
        found = asyncio.run(subject.look(settings))
    except NotInTime as error:
        return f"The registry could not be compared: {error}"
    report |= {"subject": found.name, "schema_id": found.schema_id, "level": found.level}
    report["schema_warnings"] = found.warnings
    return "\n".join(f"{found.name} {problem}." for problem in found.drift) or None
