"""The control and the status topic as these commands read and write them."""

from __future__ import annotations

import asyncio
import getpass
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from connector.core.lists import edits
from connector.core.lists.subscription import ControlRecord, Position
from connector.core.status import decode
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.lists.subscription import Entry, Lists
    from connector.core.status import Record
    from connector.settings import Settings
    from connector.shell.kafka.compacted_topic import TopicRecord


@dataclass(frozen=True, slots=True)
class Topics:
    """Both topics as they stand: the control records with a value, by list, and the readable status records, by key."""

    control: Mapping[str, TopicRecord]
    status: Mapping[str, Record]

    @property
    def values(self) -> dict[str, bytes]:
        """The lists' values."""
        return values(self.control)

    def standing(self) -> Lists:
        """Return the lists as the connector holds them."""
        control = [
            ControlRecord(record.key, record.value, Position(record.partition, record.offset), record.timestamp_ms)
            for record in sorted(self.control.values(), key=lambda record: record.offset)
        ]
        return edits.current_lists(control, self.status)


def refuse_if_held_back(standing: Lists, records: edits.Records, cure: str = "Give --confirm to let it pass.") -> None:
    """Raise RequestMalformed where the connector's guard would hold a record back: nothing is to be written then."""
    if (reason := edits.held_back(standing, records)) is not None:
        raise RequestMalformed(f"{reason}\nNothing was written. {cure}")


async def read(settings: Settings) -> Topics:
    """Return both topics. Raises NotInTime."""
    # Kafka's client is imported by the commands that need it, here and below, so that `--help` is quick.
    from connector.cli import kafka_access

    control, status = await asyncio.gather(
        kafka_access.read(settings, settings.topics.control), kafka_access.read(settings, settings.topics.status)
    )
    return Topics({name: record for name, record in control.items() if record.value is not None}, statuses(status))


async def write(settings: Settings, records: edits.Records) -> int:
    """Write control records and return the offset of the first. Raises NotInTime."""
    from connector.cli import kafka_access

    return await kafka_access.write(settings, settings.topics.control, records)


def request(entry: Entry | None = None) -> edits.Request:
    """Return who asks, and since when: for a list that is in force since it was first asked for, else now."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    since = edits.first_requested(entry.in_force if entry else None)
    return edits.Request(f"{_user()}@{socket.gethostname()}", since or now)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        return "unknown"


def values(records: Mapping[str, TopicRecord]) -> dict[str, bytes]:
    """Return the values of records that have one."""
    return {key: record.value for key, record in records.items() if record.value is not None}


def statuses(records: Mapping[str, TopicRecord]) -> dict[str, Record]:
    """Return the readable status records."""
    decoded = {key: decode(value) for key, value in values(records).items()}
    return {key: record for key, record in decoded.items() if record is not None}
