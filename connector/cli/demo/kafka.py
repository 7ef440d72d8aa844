"""The Kafka of a demo, embedded or real, with its topics created and the first list written."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from connector.cli import kafka_access
from connector.core.bonds.isin import with_check_digit
from connector.core.topic_plan import Sizes, default_min_insync, default_replication, plan
from connector.errors import ConfigurationError, NotInTime
from connector.settings import TopicSettings
from connector.shell.kafka.admin import TopicAdmin
from simulator.embedded_kafka import EmbeddedKafka

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connector.settings import Settings

LIST_NAME = "demo"
PARTITIONS = 6
SAMPLE_ISIN = "KR103502GD31"  # the bond of KIS's own sample frame
SPARE_ISIN = "KR103502GA34"  # left out of the first list, for `subs add`
# Treasury bonds, monetary stabilization bonds and corporate bonds, as their ISINs begin.
KINDS = ("KR103501G", "KR310101G", "KR600593G")
MOST_BONDS = 1 + len(KINDS) * 26 * 10
POLL_SECONDS = 0.1


def require_client() -> None:
    """Raise ConfigurationError where confluent-kafka is missing: the embedded broker and the independent consumer are in it."""
    try:
        importlib.import_module("confluent_kafka")
    except ImportError as error:
        raise ConfigurationError(
            [
                f"kis-bond demo: the package confluent-kafka could not be loaded ({error}): pip install 'kis-bond-connector[demo]'"
            ]
        ) from error


@contextlib.contextmanager
def embedded() -> Iterator[str]:
    """Give the address of a broker inside this process, with all topics under their default names."""
    planned = plan(TopicSettings().model_dump(), Sizes(PARTITIONS, None, 1, 1))
    with EmbeddedKafka({topic.name: topic.partitions for topic in planned}) as kafka:
        yield kafka.bootstrap_servers


def own_topics(now: datetime) -> dict[str, str]:
    """Return topic names of one run's own, so that a demo never touches the topics of a cluster in use."""
    prefix = f"demo-{now:%Y%m%d-%H%M%S-%f}."
    return {part: prefix + name for part, name in TopicSettings().model_dump().items()}


async def create_topics(settings: Settings) -> None:
    """Create the topics as `topics init` does. Raises NotInTime."""
    async with TopicAdmin.connect(kafka_access.client_arguments(settings)) as admin:
        replicas = default_replication(await admin.brokers())
        planned = plan(settings.topics.model_dump(), Sizes(PARTITIONS, None, replicas, default_min_insync(replicas)))
        if failed := await admin.create(planned):
            raise NotInTime("\n".join(f"{name} was not created: {why}" for name, why in failed.items()))
        await _visible(admin, [topic.name for topic in planned])


async def _visible(admin: TopicAdmin, names: Sequence[str]) -> None:
    """Return once the broker that answers has heard of the topics. `TopicAdmin.connect` bounds the wait."""
    while True:
        found = await admin.find(names)
        if all(name in found and found[name].partitions for name in names):
            return
        await asyncio.sleep(POLL_SECONDS)


async def write_first_list(settings: Settings, isins: Sequence[str]) -> None:
    """Ask for the bonds the demo begins with. Raises NotInTime."""
    requested_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    wish: Mapping[str, object] = {
        "instruments": list(isins),
        "requested_by": "kis-bond demo",
        "requested_at": requested_at,
    }
    await kafka_access.write(settings, settings.topics.control, [(LIST_NAME, json.dumps(wish).encode())])


def first_bonds(count: int) -> list[str]:
    """Return ISINs with valid check digits, the same at each call; the simulator trades whatever is registered."""
    made = [
        with_check_digit(
            f"{KINDS[number % len(KINDS)]}{chr(ord('A') + number // len(KINDS) // 10)}{number // len(KINDS) % 10}"
        )
        for number in range(count - 1)
    ]
    return [SAMPLE_ISIN, *made]
