"""`kis-bond subs pause` and `resume`: let a list want nothing for a while, and everything again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, say
from connector.cli.subs import topics
from connector.core.lists import edits

if TYPE_CHECKING:
    from connector.settings import Settings

PAUSE_EXAMPLES = "Example: kis-bond subs pause desk"
RESUME_EXAMPLES = "Example: kis-bond subs resume desk"

Name = Annotated[str, typer.Argument(metavar="LIST", help="The list.")]


def pause(
    context: typer.Context,
    name: Name,
    *,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Let the pause pass the guard against mass removal.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Let a list want none of its bonds until it is resumed."""
    asyncio.run(_write(load_settings(context, config), name, is_paused=True, confirm=confirm, as_json=as_json))


def resume(context: typer.Context, name: Name, *, as_json: Json = False, config: Config = None) -> None:
    """Let a paused list want its bonds again."""
    asyncio.run(_write(load_settings(context, config), name, is_paused=False, confirm=False, as_json=as_json))


async def _write(settings: Settings, name: str, *, is_paused: bool, confirm: bool, as_json: bool) -> None:
    snapshot = await topics.read(settings)
    lists = snapshot.lists()
    name = edits.name_to_find(name, snapshot.values)
    entry, value = lists.entries.get(name), snapshot.values.get(name)
    # What counts is in force: the guard may hold back the latest record.
    is_so = bool(entry and entry.in_force and not entry.refusal and entry.in_force.wish.paused == is_paused)
    request = topics.new_request(entry)
    records = [] if is_so else edits.paused(name, value, request, is_paused=is_paused, confirm=confirm)
    topics.refuse_if_held_back(lists, records)
    offset = await topics.write(settings, records) if records else -1
    state = "paused" if is_paused else "active"
    if as_json:
        print_json({"list": name, "paused": is_paused, "written": bool(records), "offset": offset})
    elif records:
        say(f"List {name} was {'paused' if is_paused else 'resumed'}.")
    else:
        say(f"List {name} is {state} already. Nothing was written.")
