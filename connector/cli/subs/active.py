"""Waits until KIS confirmed bonds, or released them, by the status topic."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.subs.lists import statuses
from connector.core import status_view
from connector.errors import NotInTime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connector.core.status import Record
    from connector.settings import Settings

Wait = Annotated[float | None, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait until each bond is ACTIVE; else end with 5.")]


@dataclass(frozen=True, slots=True)
class Waited:
    """What waiting came to: the bonds as they stood at last, and lines that say what is not as it was waited for, and why.

    A list that was `refused` ended the waiting before its time.
    """

    rows: Sequence[status_view.Row]
    missing: Sequence[str]
    refused: Sequence[str] = ()

    def require(self, wanted: str, seconds: float) -> None:
        """Raise NotInTime, which ends the command with 5, where a list was refused or something is missing."""
        if self.refused:
            raise NotInTime("\n".join(self.refused))
        if self.missing:
            raise NotInTime("\n".join([f"Not {wanted} within {seconds:g} s:", *self.missing]))


async def until_active(settings: Settings, asked: Mapping[str, int], lists: Mapping[str, int], seconds: float) -> Waited:
    """Wait until all bonds are ACTIVE by a record that reflects the control offset they were `asked` for with.

    `lists` are those that name them, with the offsets of their records: one that is refused ends the waiting.
    """

    def look(status: Mapping[str, Record]) -> Waited:
        rows = {row.instrument: row for row in status_view.rows(status, {}, datetime.now(UTC))}
        reached = [_as_of(rows.get(each), each, offset) for each, offset in asked.items()]
        late = [f"{row.instrument} is {row.state}{f': {row.why}' if row.why else ''}" for row in reached if row.state != "ACTIVE"]
        return Waited(reached, late)

    return await _until(settings, look, lists, seconds)


async def until_released(settings: Settings, isins: Sequence[str], lists: Mapping[str, int], seconds: float) -> Waited:
    """Wait until the connector took up the removal of bonds from lists: each is released, or held for other lists alone.

    `lists` are those written, with the offsets of their records: one that is refused ends the waiting.
    """

    def look(status: Mapping[str, Record]) -> Waited:
        rows = {row.instrument: row for row in status_view.rows(status, {}, datetime.now(UTC))}
        held = [row for each in isins if (row := rows.get(each)) is not None and (not row.lists or lists.keys() & row.lists)]
        late = [f"{row.instrument} is {row.state} and {_holder(row.lists)}" for row in held]
        behind = [
            name for name, offset in lists.items() if (record := status.get(f"list/{name}")) and status_view.offset_of(record) < offset
        ]
        late += [f"list {name}: no connector has taken up the record at offset {lists[name]}" for name in behind]
        return Waited([rows[each] for each in isins if each in rows], late)

    return await _until(settings, look, lists, seconds)


def _holder(names: Sequence[str]) -> str:
    return f"held for {', '.join(names)}" if names else "being released"


async def _until(settings: Settings, look: Callable[[Mapping[str, Record]], Waited], lists: Mapping[str, int], seconds: float) -> Waited:
    # Kafka's client is imported by the commands that need it, so that `--help` is quick.
    from connector.cli import kafka_access

    waited = Waited((), (f"{settings.topics.status} was not read",))
    try:
        async with asyncio.timeout(seconds), kafka_access.following(settings, settings.topics.status) as replica:
            while True:
                replica.changed.clear()
                status = statuses(replica.records)
                waited = replace(look(status), refused=_refused(status, lists))
                if waited.refused or not waited.missing:
                    return waited
                await replica.changed.wait()
    except TimeoutError:
        return waited


def _refused(status: Mapping[str, Record], lists: Mapping[str, int]) -> list[str]:
    records = {name: status.get(f"list/{name}") for name in lists}
    return [
        f"List {name} was refused: {record.get('reason')}"
        for name, record in records.items()
        if record is not None and status_view.is_refusal_of(record, lists[name])
    ]


def _as_of(row: status_view.Row | None, each: str, offset: int) -> status_view.Row:
    """Take a row that reflects an older control record than ours as no answer yet."""
    if row is None:
        return status_view.Row(each, "PENDING", None, None, (), "no connector has reported on it", -1)
    if row.offset < offset:
        why = f"no connector has taken up the record at offset {offset}"
        return status_view.Row(each, "PENDING", None, None, (), why, -1)
    return row
