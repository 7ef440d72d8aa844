"""The Kafka of a demo, embedded or real, with its topics created and the first list written."""

from __future__ import annotations

import contextlib
import importlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from connector.cli import kafka_access, topics
from connector.core.bonds.isin import with_check_digit
from connector.core.topic_plan import DEFAULT_PARTITIONS, Sizes, default_min_insync, default_replication, plan
from connector.errors import ConfigurationError
from connector.settings import TopicSettings
from connector.shell.kafka.admin import TopicAdmin
from simulator.embedded_kafka import EmbeddedKafka

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connector.settings import Settings

LIST_NAME = "demo"
SAMPLE_ISIN = "KR103502GD31"  # the bond of KIS's own sample frame
SPARE_ISIN = "KR103502GA34"  # not in the first list: `subs add` adds it
# Treasury bonds, monetary stabilization bonds and corporate bonds, as their ISINs begin.
KINDS = ("KR103501G", "KR310101G", "KR600593G")
MOST_BONDS = 1 + len(KINDS) * 26 * 10


def require_client() -> None:
    """Raise ConfigurationError if confluent-kafka is missing.

    It has the embedded broker and the independent consumer.
    """
    try:
        importlib.import_module("confluent_kafka")
    except ImportError as error:
        raise ConfigurationError(
            [
                (
                    f"kis-bond demo: confluent-kafka could not be loaded ({error}): install the built file "
                    "with its extra demo, as in uv tool install 'kis_bond_connector-….whl[demo]', or run make demo"
                )
            ]
        ) from error


@contextlib.contextmanager
def embedded() -> Iterator[str]:
    """Give the address of a broker inside this process that has all topics by default name."""
    planned = plan(TopicSettings().names(), Sizes(DEFAULT_PARTITIONS, None, 1, 1))
    with EmbeddedKafka({topic.name: topic.partitions for topic in planned}) as kafka:
        yield kafka.bootstrap_servers


def own_topics(now: datetime) -> dict[str, str]:
    """Return topic names for one run, so that a demo never touches the topics of others."""
    prefix = f"demo-{now:%Y%m%d-%H%M%S-%f}."
    return {part: prefix + name for part, name in TopicSettings().names().items()}


async def create_topics(settings: Settings) -> None:
    """Create the topics as `topics init` does. Raises NotInTime."""
    async with TopicAdmin.connect(kafka_access.client_arguments(settings)) as admin:
        replicas = default_replication(await admin.brokers())
        planned = plan(settings.topics.names(), Sizes(DEFAULT_PARTITIONS, None, replicas, default_min_insync(replicas)))
        await topics.create_topics(admin, planned)


async def write_first_list(settings: Settings, isins: Sequence[str]) -> None:
    """Request the bonds the demo starts with. Raises NotInTime."""
    requested_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    wish: Mapping[str, object] = {
        "instruments": list(isins),
        "requested_by": "kis-bond demo",
        "requested_at": requested_at,
    }
    await kafka_access.write(settings, settings.topics.control, [(LIST_NAME, json.dumps(wish).encode())])


def first_bonds(count: int) -> list[str]:
    """Return ISINs with valid check digits, the same at each call.

    The simulator trades whatever is registered.
    """
    made = [
        with_check_digit(
            f"{KINDS[number % len(KINDS)]}{chr(ord('A') + number // len(KINDS) // 10)}{number // len(KINDS) % 10}"
        )
        for number in range(count - 1)
    ]
    return [SAMPLE_ISIN, *made]
