"""`kis-bond subs export`: print all lists as a file that `subs apply` takes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from connector.cli import completion
from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, print_lines, say
from connector.cli.subs import topics
from connector.cli.subs.waiting import refusal
from connector.core.lists import edits

if TYPE_CHECKING:
    from connector.core.lists.control_record import Wish
    from connector.settings import Settings

EXAMPLES = "Examples: kis-bond subs export > lists.yaml | kis-bond subs export --list desk --json"


def export(
    context: typer.Context,
    *,
    name: Annotated[
        str | None, typer.Option("--list", metavar="NAME", autocompletion=completion.lists, help="Only this list.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Print all lists, as they are in force, as a file that kis-bond subs apply takes."""
    asyncio.run(_export(load_settings(context, config), name, as_json=as_json))


async def _export(settings: Settings, name: str | None, *, as_json: bool) -> None:
    entries = (await topics.read(settings)).lists().entries
    name = edits.name_to_show(name, entries)
    chosen = {key: entry for key, entry in sorted(entries.items()) if name in (None, key)}
    shown = {key: content(entry.in_force.wish) for key, entry in chosen.items() if entry.in_force}
    # Another client may write an escape for half a surrogate pair, which no file can hold.
    broken = [key for key, fields in shown.items() if not _is_text(fields)]
    shown = {key: fields for key, fields in shown.items() if key not in broken}
    if as_json:
        print_json(shown)
    else:
        # A file with nothing but `lists` has its lists below that word.
        document = {"lists": shown} if list(shown) == ["lists"] else shown
        print_lines(yaml.safe_dump(document, allow_unicode=False, sort_keys=False, width=2**31).rstrip("\n"))
    for key, entry in chosen.items():
        if entry.refusal is not None:
            say(f"{refusal(key, entry.refusal).removesuffix('.')}. What is in force is exported.", err=True)
    for key in broken:
        say(f"List {key} holds half a surrogate pair, which no file can hold: it is left out.", err=True)


def _is_text(fields: dict[str, Any]) -> bool:
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def content(wish: Wish) -> dict[str, Any]:
    """Return a list's fields as its record has them; a confirmation was for one removal only."""
    kept = {field: value for field, value in wish.value.items() if field != "confirm_removal" and value is not None}
    return {"instruments": list(wish.instruments)} | {
        field: value for field, value in kept.items() if field != "instruments"
    }
