"""`kis-bond subs ls`: show each wanted bond, its state, and the reason for it."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, print_table, say, short_names
from connector.cli.subs import master, topics
from connector.cli.subs.waiting import Goal, Wait, refusal, wait_for
from connector.core.lists import edits, subscription
from connector.core.printable import printable
from connector.core.status.rows import Row, refused_lists, to_rows
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from connector.settings import Settings

EXAMPLES = "Examples: kis-bond subs ls | kis-bond subs ls --list desk --json | kis-bond subs ls --list desk --wait 30"


def ls(
    context: typer.Context,
    *,
    name: Annotated[str | None, typer.Option("--list", metavar="NAME", help="Only the bonds of this list.")] = None,
    wait: Wait = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show each wanted bond, its state, and the reason for it."""
    asyncio.run(_ls(load_settings(context, config), name, wait, as_json=as_json))


async def _ls(settings: Settings, name: str | None, wait: float | None, *, as_json: bool) -> None:
    snapshot = await topics.read(settings)
    lists = snapshot.lists()
    name = None if name is None else edits.name_to_find(name, lists.entries)
    if name is not None and name not in lists.entries:
        raise RequestMalformed(f"There is no list {printable(name)}.")
    result = None
    if wait is not None:
        active = {
            bond.isin: bond.control.offset for bond in subscription.desired(lists) if name is None or name in bond.lists
        }
        offsets = {key: entry.control.offset for key, entry in lists.entries.items() if name in {None, key}}
        result = await wait_for(settings, Goal(offsets, active=active), wait)
        snapshot = await topics.read(settings)
    _print(snapshot, name, as_json=as_json, failures=result.failures if result else ())
    if result is not None and wait is not None:
        result.require("ACTIVE", wait)


def _print(snapshot: topics.Snapshot, name: str | None, *, as_json: bool, failures: Collection[str]) -> None:
    rows = to_rows(snapshot.status, snapshot.values, datetime.now(UTC))
    rows = [row for row in rows if name is None or name in row.lists]
    refused = {key: reason for key, reason in refused_lists(snapshot.status).items() if name in (None, key)}
    if as_json:
        names = master.names()
        instruments = [as_object(row) | {"name": names.get(row.instrument)} for row in rows]
        print_json({"instruments": instruments, "refused_lists": refused})
        return
    show(rows, master.names())
    for key, reason in refused.items():
        if (line := refusal(key, reason)) not in failures:
            say(line, err=True)


def as_object(row: Row) -> dict[str, object]:
    """Return a row as --json shows it."""
    shown = dataclasses.asdict(row)
    del shown["offset"]
    return shown


def show(rows: Iterable[Row], names: Mapping[str, str]) -> None:
    """Print rows as a table; `names` are the bonds' names by ISIN, a column if there are any."""
    headings = ("instrument", *(["name"] if names else []), "state", "slot", "since", "lists", "why")
    print_table(
        headings,
        (
            (
                row.instrument,
                *([names.get(row.instrument, "-")] if names else []),
                row.state,
                "-" if row.slot is None else str(row.slot),
                row.since or "-",
                short_names(row.lists),
                row.why,
            )
            for row in rows
        ),
    )
