"""Reads the control and the status topic for the `subs` commands, and writes the first."""

from __future__ import annotations

import asyncio
import getpass
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from connector.core.lists import edits
from connector.core.lists.subscription import ControlRecord, Position
from connector.core.printable import printable
from connector.core.status import decode
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.lists.subscription import Entry, Lists
    from connector.core.status import Record
    from connector.settings import Settings
    from connector.shell.kafka.compacted_topic import TopicRecord


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Both topics at one moment: control records with a value by list, status records by key."""

    control: Mapping[str, TopicRecord]
    status: Mapping[str, Record]

    @property
    def values(self) -> dict[str, bytes]:
        """The value of each list's control record."""
        return values(self.control)

    def lists(self) -> Lists:
        """Return the lists as the connector holds them."""
        control = [
            ControlRecord(record.key, record.value, Position(record.partition, record.offset), record.timestamp_ms)
            for record in sorted(self.control.values(), key=lambda record: record.offset)
        ]
        return edits.current_lists(control, self.status)


def refuse_if_held_back(lists: Lists, records: edits.Records, remedy: str = "Give --confirm to let it pass.") -> None:
    """Raise RequestMalformed if the connector's removal guard would hold a record back."""
    if (reason := edits.held_back(lists, records)) is not None:
        raise RequestMalformed(f"{printable(reason)}\nNothing was written. {remedy}")


async def read(settings: Settings) -> Snapshot:
    """Read both topics. Raises NotInTime."""
    # Imported only here and below, so that `--help` need not load the Kafka client.
    from connector.cli import kafka_access

    control, status = await asyncio.gather(
        kafka_access.read(settings, settings.topics.control), kafka_access.read(settings, settings.topics.status)
    )
    return Snapshot(
        {name: record for name, record in control.items() if record.value is not None}, status_records(status)
    )


async def write(settings: Settings, records: edits.Records) -> int:
    """Write control records and return the offset of the first. Raises NotInTime."""
    from connector.cli import kafka_access

    return await kafka_access.write(settings, settings.topics.control, records)


def new_request(entry: Entry | None = None) -> edits.Request:
    """Return who asks, and since when: a list in force keeps the time of its first request."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    since = edits.first_requested(entry.in_force if entry else None)
    return edits.Request(f"{_user()}@{socket.gethostname()}", since or now)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user id of a container need not have a name
        return "unknown"


def values(records: Mapping[str, TopicRecord]) -> dict[str, bytes]:
    """Return the value of each record that has one."""
    return {key: record.value for key, record in records.items() if record.value is not None}


def status_records(records: Mapping[str, TopicRecord]) -> dict[str, Record]:
    """Return the readable status records."""
    decoded = {key: decode(value) for key, value in values(records).items()}
    return {key: record for key, record in decoded.items() if record is not None}
