"""`kis-bond subs ls`: each wanted bond, its state and why it has it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.subs import master, topics
from connector.cli.subs.waiting import Goal, Wait, until
from connector.cli.table import print_table
from connector.core.lists import subscription
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
    """Show each wanted bond, its state and why it has it."""
    asyncio.run(_ls(load_settings(context, config), name, wait, as_json=as_json))


async def _ls(settings: Settings, name: str | None, wait: float | None, *, as_json: bool) -> None:
    found = await topics.read(settings)
    standing = found.standing()
    if name is not None and name not in standing.entries:
        raise RequestMalformed(f"There is no list {name}.")
    waited = None
    if wait is not None:
        asked = {
            bond.isin: bond.control.offset
            for bond in subscription.desired(standing)
            if name is None or name in bond.lists
        }
        offsets = {key: entry.control.offset for key, entry in standing.entries.items() if name in {None, key}}
        waited = await until(settings, Goal(offsets, active=asked), wait)
        found = await topics.read(settings)
    _print(found, name, as_json=as_json, told=waited.ended if waited else ())
    if waited is not None and wait is not None:
        waited.require("ACTIVE", wait)


def _print(found: topics.Topics, name: str | None, *, as_json: bool, told: Collection[str]) -> None:
    rows = [row for row in to_rows(found.status, found.values, datetime.now(UTC)) if name is None or name in row.lists]
    refused = {key: reason for key, reason in refused_lists(found.status).items() if name in (None, key)}
    if as_json:
        known = master.names()
        instruments = [as_object(row) | {"name": known.get(row.instrument)} for row in rows]
        typer.echo(json.dumps({"instruments": instruments, "refused_lists": refused}, ensure_ascii=False))
        return
    show(rows, master.names())
    for key, reason in refused.items():
        if (line := f"List {key} was refused: {reason}") not in told:
            typer.echo(line, err=True)


def as_object(row: Row) -> dict[str, object]:
    """Return a row as JSON shows it."""
    shown = dataclasses.asdict(row)
    del shown["offset"]
    return shown


def show(rows: Iterable[Row], names: Mapping[str, str]) -> None:
    """Print rows as a table, with the bonds' names where any is known by ISIN."""
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
                ", ".join(row.lists),
                row.why,
            )
            for row in rows
        ),
    )
