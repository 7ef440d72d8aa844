"""`kis-bond subs lists`: show each list with its priority, its note, and whether it is paused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer  # noqa: TC002 - typer reads annotations at run time

from connector.cli.options import Config, Json, load_settings
from connector.cli.output import LONGEST_NAME, print_json, say, short
from connector.cli.subs import topics
from connector.cli.table import Column, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.lists.subscription import Entry
    from connector.settings import Settings

EXAMPLES = "Examples: kis-bond subs lists | kis-bond subs lists --json"
COLUMNS = (
    Column("list", "cut"),
    Column("bonds", "whole", right=True),
    Column("priority", "whole", right=True),
    Column("paused", "whole"),
    "note",
    "refused",
)


def lists(context: typer.Context, *, as_json: Json = False, config: Config = None) -> None:
    """Show each list with its priority, its note, and whether it is paused."""
    asyncio.run(_lists(load_settings(context, config), as_json=as_json))


async def _lists(settings: Settings, *, as_json: bool) -> None:
    entries = (await topics.read(settings)).lists().entries
    found = [as_object(name, entries[name]) for name in sorted(entries)]
    if as_json:
        print_json({"lists": found})
        return
    print_table(COLUMNS, [_cells(each) for each in found])
    if not found:
        say("There is no list yet: kis-bond subs add or apply makes one.", err=True)


def as_object(name: str, entry: Entry) -> dict[str, Any]:
    """Return a list as --json shows it: its content in force, and why its latest record is not."""
    wish = entry.in_force.wish if entry.in_force else None
    return {
        "list": name,
        "instruments": list(wish.instruments) if wish else [],
        "priority": wish.priority if wish else None,
        "paused": wish.paused if wish else None,
        "note": wish.value.get("note") if wish else None,
        "requested_by": wish.value.get("requested_by") if wish else None,
        "refused": entry.refusal,
    }


def _cells(found: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        short(found["list"], LONGEST_NAME),
        str(len(found["instruments"])),
        "-" if found["priority"] is None else str(found["priority"]),
        "paused" if found["paused"] else "-",
        found["note"] or "",
        found["refused"] or "",
    )
