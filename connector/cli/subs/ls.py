"""`kis-bond subs ls`: each wanted bond, its state and why it has it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.subs import lists, master
from connector.cli.table import print_table
from connector.core import status_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EXAMPLES = "Examples: kis-bond subs ls | kis-bond subs ls --list desk --json"


def ls(
    context: typer.Context,
    *,
    name: Annotated[str | None, typer.Option("--list", metavar="NAME", help="Only the bonds of this list.")] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show each wanted bond, its state and why it has it."""
    topics = asyncio.run(lists.read(load_settings(context, config)))
    rows = [row for row in status_view.rows(topics.status, topics.values, datetime.now(UTC)) if name is None or name in row.lists]
    refused = {key: reason for key, reason in status_view.refused_lists(topics.status).items() if name in (None, key)}
    if as_json:
        known = master.names()
        instruments = [as_object(row) | {"name": known.get(row.instrument)} for row in rows]
        typer.echo(json.dumps({"instruments": instruments, "refused_lists": refused}, ensure_ascii=False))
        return
    show(rows, master.names())
    for key, reason in refused.items():
        typer.echo(f"List {key} was refused: {reason}", err=True)


def as_object(row: status_view.Row) -> dict[str, object]:
    """Return a row as JSON shows it."""
    shown = dataclasses.asdict(row)
    del shown["offset"]
    return shown


def show(rows: Iterable[status_view.Row], names: Mapping[str, str]) -> None:
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
