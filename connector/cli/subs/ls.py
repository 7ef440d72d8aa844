"""`kis-bond subs ls`: show each wanted bond, its state, and the reason for it."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import completion
from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, say, short_names
from connector.cli.subs import master, topics
from connector.cli.subs.waiting import Goal, Wait, refusal, wait_for
from connector.cli.table import Column, chosen, print_table
from connector.core import seoul_time
from connector.core.lists import edits
from connector.core.status.rows import Row, is_anyone_there, refused_lists, to_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from connector.settings import Settings

NOBODY = "No connector is running: KIS sends nothing, and changes wait."
COLUMNS = {
    "instrument": Column("instrument", "whole"),
    "name": Column("name", "cut", turn=1),
    "state": Column("state", "whole"),
    "slot": Column("slot", "whole", turn=3),
    "since": Column("since (KST)", "whole", turn=2),
    "lists": Column("lists"),
    "why": Column("why", least=24),
}
EXAMPLES = "Examples: kis-bond subs ls | kis-bond subs ls --list desk --json | kis-bond subs ls --list desk --wait 30"


def ls(
    context: typer.Context,
    *,
    name: Annotated[
        str | None,
        typer.Option("--list", metavar="NAME", autocompletion=completion.lists, help="Only the bonds of this list."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="NAME,...", help=f"Show these columns: {', '.join(COLUMNS)}."),
    ] = None,
    wait: Wait = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show each wanted bond, its state, and the reason for it."""
    shown = chosen(columns, list(COLUMNS))
    asyncio.run(_ls(load_settings(context, config), name, wait, shown, as_json=as_json))


async def _ls(
    settings: Settings, name: str | None, wait: float | None, columns: Sequence[str], *, as_json: bool
) -> None:
    snapshot = await topics.read(settings)
    lists = snapshot.lists()
    name = edits.name_to_show(name, lists.entries)
    result = None
    if wait is not None:
        active = {
            bond.isin: bond.control.offset for bond in lists.desired.values() if name is None or name in bond.lists
        }
        offsets = {key: entry.control.offset for key, entry in lists.entries.items() if name in {None, key}}
        result = await wait_for(settings, Goal(offsets, active=active), wait)
        snapshot = await topics.read(settings)
    _print(snapshot, name, columns, as_json=as_json, failures=result.failures if result else ())
    if result is not None and wait is not None:
        result.require("ACTIVE", wait)


def _print(
    snapshot: topics.Snapshot,
    name: str | None,
    columns: Sequence[str],
    *,
    as_json: bool,
    failures: Collection[str],
) -> None:
    now = datetime.now(UTC)
    rows = to_rows(snapshot.status, snapshot.values, now)
    rows = [row for row in rows if name is None or name in row.lists]
    refused = {key: reason for key, reason in refused_lists(snapshot.status).items() if name in (None, key)}
    if as_json:
        names = master.names()
        instruments = [as_object(row) | {"name": names.get(row.instrument)} for row in rows]
        print_json({"instruments": instruments, "refused_lists": refused})
        return
    show(rows, master.names(), columns)
    if not rows:
        say("No bond is wanted yet: add one with kis-bond subs add ISIN.", err=True)
    if not is_anyone_there(snapshot.status, now):
        say(NOBODY, err=True)
    for key, reason in refused.items():
        if (line := refusal(key, reason)) not in failures:
            say(line, err=True)


def as_object(row: Row) -> dict[str, object]:
    """Return a row as --json shows it."""
    shown = dataclasses.asdict(row)
    del shown["offset"]
    return shown


def show(rows: Iterable[Row], names: Mapping[str, str], columns: Sequence[str] = ()) -> None:
    """Print rows as a table.

    `names` are the bonds' names by ISIN. Without `columns`, all are shown that there is room for:
    the names if there are any. Those that were asked for are shown in any case.
    """
    shown = columns or [each for each in COLUMNS if names or each != "name"]
    shapes = [dataclasses.replace(COLUMNS[each], turn=None) if columns else COLUMNS[each] for each in shown]
    cells = (_cells(row, names) for row in rows)
    print_table(shapes, ([each[heading] for heading in shown] for each in cells))


def _cells(row: Row, names: Mapping[str, str]) -> dict[str, str]:
    return {
        "instrument": row.instrument,
        "name": names.get(row.instrument, "-"),
        "state": row.state,
        "slot": "-" if row.slot is None else str(row.slot),
        "since": seoul_time.of_rfc3339(row.since),
        "lists": short_names(row.lists),
        "why": row.why,
    }
