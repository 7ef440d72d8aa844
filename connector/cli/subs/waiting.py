"""Waits until KIS confirmed bonds, or released them, by the status topic."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.subs.topics import statuses
from connector.core import record_keys
from connector.core.status.rows import Row, is_anyone_there, is_refusal_of, offset_of, to_rows
from connector.errors import NotInTime

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from connector.core.status import Record
    from connector.settings import Settings

Wait = Annotated[
    float | None,
    typer.Option("--wait", min=0, metavar="SECONDS", help="Wait until each bond is ACTIVE; else end with 5."),
]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is waited for.

    `lists` are the lists concerned, with the offsets of their records: one that is refused ends the waiting. Bonds in `active` have to be
    ACTIVE by a record that reflects this control offset; those in `released` to be released, or held for other lists than these alone.
    `reported` are lists of which no bond tells that their record was taken up, so that a report on them has to; `removed` lists have no
    record, and say whether a connector had reported on them before their tombstone.
    """

    lists: Mapping[str, int]
    active: Mapping[str, int] = field(default_factory=dict)
    released: Mapping[str, Collection[str]] = field(default_factory=dict)
    reported: Collection[str] = ()
    removed: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Waited:
    """What waiting came to: the bonds as they stood at last, and lines that say what is not as it was waited for, and why.

    `ended` says why the waiting came to an end before its time, as where a list was refused.
    """

    rows: Sequence[Row]
    missing: Sequence[str]
    ended: Sequence[str] = ()

    def require(self, wanted: str, seconds: float) -> None:
        """Raise NotInTime, which ends the command with 5, where the waiting ended before its time or something is missing."""
        if self.ended:
            raise NotInTime("\n".join(self.ended))
        if self.missing:
            raise NotInTime("\n".join([f"Not {wanted} within {seconds:g} s:", *self.missing]))


async def until(settings: Settings, goal: Goal, seconds: float) -> Waited:
    """Wait until all is as the goal has it. Never raises NotInTime: a command has to tell first what it wrote."""
    # Kafka's client is imported by the commands that need it, so that `--help` is quick.
    from connector.cli import kafka_access

    waited = Waited((), (f"{settings.topics.status} was not read",))
    try:
        async with asyncio.timeout(seconds), kafka_access.following(settings, settings.topics.status) as replica:
            while True:
                replica.changed.clear()
                waited = look(statuses(replica.records), goal, datetime.now(UTC))
                if waited.ended or not waited.missing:
                    return waited
                await replica.changed.wait()
    except TimeoutError:
        return waited
    except NotInTime as failure:
        return replace(waited, ended=(str(failure),))


def look(status: Mapping[str, Record], goal: Goal, now: datetime) -> Waited:
    """Return how far the goal is reached by these status records."""
    rows = {row.instrument: row for row in to_rows(status, {}, now)}
    reached = [_as_of(rows.get(each), each, offset) for each, offset in goal.active.items()]
    going = [(rows[each], names) for each, names in goal.released.items() if each in rows]
    late = [
        f"{row.instrument} is {row.state}{f': {row.why}' if row.why else ''}"
        for row in reached
        if row.state != "ACTIVE"
    ]
    late += [
        f"{row.instrument} is {row.state} and {_holder(row.lists)}"
        for row, names in going
        if not row.lists or set(names) & set(row.lists)
    ]
    late += [
        f"list {name}: no connector has taken up the record at offset {goal.lists[name]}"
        for name in _behind(status, goal, now)
    ]
    held = [row for row, _ in going if row.instrument not in goal.active]
    return Waited([*reached, *held], late, _refused(status, goal.lists))


def taken_up(goal: Goal, waited: Waited) -> str:
    """Return the sentence on what became of bonds that were let go of, once the goal is reached."""
    gone = goal.released.keys() - goal.active.keys()
    if not gone:
        return "The connector took it up."
    held = sum(row.instrument in gone for row in waited.rows)
    return f"The connector took it up: {len(gone) - held} released, {held} held for other lists."


def unreported(each: str, why: str) -> Row:
    """Return the row of a bond that nothing is known of."""
    return Row(each, "PENDING", None, None, (), why, -1)


def _behind(status: Mapping[str, Record], goal: Goal, now: datetime) -> list[str]:
    """Return the lists whose record no connector has taken up.

    A removed list has no report. That there is none tells of the removal where there was one before; else only that there is a connector,
    who reads the tombstone at once, can be known.
    """
    behind = []
    for name in (*goal.reported, *goal.removed):
        record = status.get(record_keys.LIST + name)
        if record is None:
            taken_up = name in goal.removed and (goal.removed[name] or is_anyone_there(status, now))
        else:
            taken_up = offset_of(record) >= goal.lists[name]
        if not taken_up:
            behind.append(name)
    return behind


def _holder(names: Sequence[str]) -> str:
    return f"held for {', '.join(names)}" if names else "being released"


def _refused(status: Mapping[str, Record], lists: Mapping[str, int]) -> list[str]:
    records = {name: status.get(record_keys.LIST + name) for name in lists}
    return [
        f"List {name} was refused: {record.get('reason')}"
        for name, record in records.items()
        if record is not None and is_refusal_of(record, lists[name])
    ]


def _as_of(row: Row | None, each: str, offset: int) -> Row:
    """Take a row that reflects an older control record than ours as no answer yet."""
    if row is None:
        return unreported(each, "no connector has reported on it")
    return unreported(each, f"no connector has taken up the record at offset {offset}") if row.offset < offset else row
