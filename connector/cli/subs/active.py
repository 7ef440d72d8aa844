"""Waits until KIS confirmed bonds, by the status topic."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.subs.lists import statuses
from connector.core import status_view
from connector.errors import NotInTime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.cli.kafka_access import Replica
    from connector.settings import Settings

Wait = Annotated[float | None, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait until each bond is ACTIVE; else end with 5.")]


async def until_active(settings: Settings, asked: Mapping[str, int], lists: Mapping[str, int], seconds: float) -> list[status_view.Row]:
    """Return the rows of the bonds once all are ACTIVE by a record that reflects the control offset they were `asked` for with.

    `lists` are those written, with their offsets: one that is refused ends the waiting. Raises NotInTime saying which are not, and why.
    """
    # Kafka's client is imported by the commands that need it, so that `--help` is quick.
    from connector.cli import kafka_access

    reached: list[status_view.Row] = []
    try:
        async with asyncio.timeout(seconds), kafka_access.following(settings, settings.topics.status) as replica:
            while True:
                replica.changed.clear()
                reached = _reached(replica, asked, lists)
                if all(row.state == "ACTIVE" for row in reached):
                    return reached
                await replica.changed.wait()
    except TimeoutError:
        raise NotInTime(_late(reached, list(asked), seconds)) from None


def _late(reached: Sequence[status_view.Row], isins: Sequence[str], seconds: float) -> str:
    late = [f"{row.instrument} is {row.state}{f': {row.why}' if row.why else ''}" for row in reached if row.state != "ACTIVE"]
    return "\n".join([f"Not ACTIVE within {seconds:g} s:", *(late or [f"{', '.join(isins)}: the status topic was not read"])])


def _reached(replica: Replica, asked: Mapping[str, int], lists: Mapping[str, int]) -> list[status_view.Row]:
    status = statuses(replica.records)
    for name, offset in lists.items():
        record = status.get(f"list/{name}")
        if status_view.is_refusal_of(record, offset) and record is not None:
            raise NotInTime(f"List {name} was refused: {record.get('reason')}")
    rows = {row.instrument: row for row in status_view.rows(status, {}, datetime.now(UTC))}
    return [_as_of(rows.get(each), each, offset) for each, offset in asked.items()]


def _as_of(row: status_view.Row | None, each: str, offset: int) -> status_view.Row:
    """Take a row that reflects an older control record than ours as no answer yet."""
    if row is None or row.offset < offset:
        return status_view.Row(each, "PENDING", None, None, (), "no connector has reported on it", -1)
    return row
