"""Waits until the status topic says that KIS has confirmed or released bonds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import MOST_SECONDS
from connector.cli.output import short, short_names
from connector.cli.subs.topics import status_records
from connector.core import record_keys
from connector.core.printable import printable
from connector.core.status.rows import Row, is_anyone_there, is_refusal_of, offset_of, reason_of, to_rows
from connector.errors import NotInTime

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from connector.core.status import Record
    from connector.settings import Settings

MOST_LINES = 10  # of what a wait lacked

Wait = Annotated[
    float | None,
    typer.Option(
        "--wait", min=0, max=MOST_SECONDS, metavar="SECONDS", help="Wait until each bond is ACTIVE; else end with 5."
    ),
]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a command waits for.

    `lists` maps each list concerned to the control offset of its record; the wait ends if one is
    refused. `active` maps each bond that has to become ACTIVE to the control offset its status has
    to reflect. `released` maps each bond that has to be released to the lists that gave it up; it
    may still be held for other lists. `reported` are lists without an active bond: only their own
    status record shows that the connector applied them. `removed` maps each removed list to whether
    it had a status record before.
    """

    lists: Mapping[str, int]
    active: Mapping[str, int] = field(default_factory=dict)
    released: Mapping[str, Collection[str]] = field(default_factory=dict)
    reported: Collection[str] = ()
    removed: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WaitResult:
    """The bonds' latest rows, and a line for each part of the goal that is missing, with why.

    `failures` says why the wait ended early, for example because a list was refused.
    """

    rows: Sequence[Row]
    missing: Sequence[str]
    failures: Sequence[str] = ()

    def require(self, wanted: str, seconds: float) -> None:
        """Raise NotInTime (exit code 5) if the wait failed or part of the goal is missing."""
        if self.failures:
            raise NotInTime("\n".join(map(printable, self.failures)))
        if self.missing:
            raise NotInTime("\n".join([f"Not {wanted} within {seconds:g} s:", *_shortened(self.missing)]))


def _shortened(lines: Sequence[str]) -> list[str]:
    """Return the first lines, and one that counts the others."""
    rest = len(lines) - MOST_LINES
    shown = list(map(printable, lines[:MOST_LINES]))
    return [*shown, f"and {rest} more; kis-bond subs ls shows all"] if rest > 0 else shown


async def wait_for(settings: Settings, goal: Goal, seconds: float) -> WaitResult:
    """Wait until the goal is reached, at most `seconds`.

    Never raises NotInTime: the command first has to print what it wrote.
    """
    # Imported only here, so that `--help` need not load the Kafka client.
    from connector.cli import kafka_access

    result = WaitResult((), (f"{settings.topics.status} was not read",))
    latest = None
    try:
        async with asyncio.timeout(seconds), kafka_access.following(settings, settings.topics.status) as latest:
            while True:
                latest.changed.clear()
                result = progress(status_records(latest.records), goal, datetime.now(UTC))
                if result.failures or not result.missing:
                    return result
                await latest.changed.wait()
    except TimeoutError:
        problem = latest.problem if latest else None
        return replace(result, missing=[*result.missing, problem]) if problem else result
    except NotInTime as failure:
        return replace(result, failures=str(failure).split("\n"))


def progress(status: Mapping[str, Record], goal: Goal, now: datetime) -> WaitResult:
    """Return how far the status records have reached the goal."""
    rows = {row.instrument: row for row in to_rows(status, {}, now)}
    active = [_row_as_of(rows.get(each), each, offset) for each, offset in goal.active.items()]
    unreleased = [(rows[each], names) for each, names in goal.released.items() if each in rows]
    missing = [
        f"{row.instrument} is {short(row.state)}{f': {short(row.why)}' if row.why else ''}"
        for row in active
        if row.state != "ACTIVE"
    ]
    missing += [
        f"{row.instrument} is {short(row.state)} and {_why_held(row.lists)}"
        for row, names in unreleased
        if not row.lists or set(names) & set(row.lists)
    ]
    missing += [
        f"list {name}: no connector has applied the record at offset {goal.lists[name]}"
        for name in _unapplied(status, goal, now)
    ]
    held = [row for row, _ in unreleased if row.instrument not in goal.active]
    return WaitResult([*active, *held], missing, _refusals(status, goal.lists))


def confirmation(goal: Goal, result: WaitResult) -> str:
    """Return the sentence that says what became of the removed bonds once the goal is reached."""
    gone = goal.released.keys() - goal.active.keys()
    if not gone:
        return "The connector applied it."
    held = sum(row.instrument in gone for row in result.rows)
    return f"The connector applied it: {len(gone) - held} released, {held} held for other lists."


def pending_row(isin: str, why: str) -> Row:
    """Return the row of a bond for which no status record counts."""
    return Row(isin, "PENDING", None, None, (), why, -1)


def _unapplied(status: Mapping[str, Record], goal: Goal, now: datetime) -> list[str]:
    """Return the lists for which no connector has applied the latest record.

    A removed list has no status record. If it had one before, its absence confirms the removal. If
    it never had one, we can only check that a connector is running.
    """
    unapplied = []
    for name in (*goal.reported, *goal.removed):
        record = status.get(record_keys.LIST + name)
        if record is None:
            is_applied = name in goal.removed and (goal.removed[name] or is_anyone_there(status, now))
        else:
            is_applied = offset_of(record) >= goal.lists[name]
        if not is_applied:
            unapplied.append(name)
    return unapplied


def _why_held(names: Sequence[str]) -> str:
    return f"held for {short_names(names)}" if names else "being released"


def refusal(name: str, reason: str) -> str:
    """Return the line that says that a list was refused."""
    return f"List {short_names([name])} was refused: {short(reason)}"


def _refusals(status: Mapping[str, Record], lists: Mapping[str, int]) -> list[str]:
    records = {name: status.get(record_keys.LIST + name) for name in lists}
    return [
        refusal(name, reason_of(record))
        for name, record in records.items()
        if record is not None and is_refusal_of(record, lists[name])
    ]


def _row_as_of(row: Row | None, isin: str, offset: int) -> Row:
    """Return the row if it reflects our control record; an older row is no answer yet."""
    if row is None:
        return pending_row(isin, "no connector has reported on it")
    return pending_row(isin, f"no connector has applied the record at offset {offset}") if row.offset < offset else row
