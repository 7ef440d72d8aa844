"""`kis-bond subs rm`: withdraw bonds, or a whole list."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import completion
from connector.cli.options import MOST_SECONDS, Config, Json, load_settings
from connector.cli.output import print_json, say
from connector.cli.subs import topics
from connector.cli.subs.waiting import Goal, confirmation, wait_for
from connector.core import record_keys
from connector.core.lists import edits
from connector.core.phrase import MOST_NAMED, named
from connector.core.printable import printable
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.core.lists.subscription import Lists
    from connector.settings import Settings

EXAMPLES = (
    "Examples: kis-bond subs rm KR103502GA34 | kis-bond subs rm KR103502GA34 --list desk | "
    "kis-bond subs rm --list desk --confirm"
)


def rm(
    context: typer.Context,
    isins: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ISIN...]", help="The bonds. Without any, the whole --list is removed."),
    ] = None,
    *,
    name: Annotated[
        str | None,
        typer.Option("--list", metavar="NAME", autocompletion=completion.lists, help="The list to remove them from."),
    ] = None,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Let the removal pass the guard against mass removal.")
    ] = False,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            min=0,
            max=MOST_SECONDS,
            metavar="SECONDS",
            help="Wait until each bond is released; else end with 5.",
        ),
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Withdraw bonds, or a whole list."""
    if not isins and name is None:
        raise RequestMalformed("Name at least one ISIN, or a list with --list.")
    wanted = edits.check(isins or [])
    asyncio.run(_remove(load_settings(context, config), wanted, name, wait, confirm=confirm, as_json=as_json))


async def _remove(
    settings: Settings, isins: Sequence[str], name: str | None, wait: float | None, *, confirm: bool, as_json: bool
) -> None:
    snapshot = await topics.read(settings)
    lists = snapshot.lists()
    name = None if name is None else edits.name_to_find(name, snapshot.values.keys() | lists.entries.keys())
    records = _records(snapshot.values, lists, isins, name, confirm=confirm)
    topics.refuse_if_held_back(lists, records)
    offset = await topics.write(settings, records)
    after = {key: value for key, value in (snapshot.values | dict(records)).items() if value is not None}
    wanted_by = {each: edits.naming(each, after) for each in isins}
    if as_json:
        print_json({"written": sorted(dict(records)), "offset": offset, "still_wanted_by": wanted_by})
    else:
        for line in _describe(wanted_by, name):
            say(line)
    if wait is not None:
        removed = isins or _bonds(lists, str(name))
        written = dict(records)
        goal = Goal(
            dict.fromkeys(written, offset),
            released=dict.fromkeys(removed, written),
            reported=[key for key, value in written.items() if value is not None],
            removed={key: record_keys.LIST + key in snapshot.status for key, value in written.items() if value is None},
        )
        result = await wait_for(settings, goal, wait)
        result.require("released", wait)
        if not as_json:
            say(confirmation(goal, result))


def _describe(wanted_by: Mapping[str, Sequence[str]], name: str | None) -> list[str]:
    lines = [] if wanted_by else [f"The removal of list {name} was written."]
    place = f" from list {name}" if name else ""
    if len(wanted_by) > MOST_NAMED:
        held = [each for each, others in wanted_by.items() if others]
        lines.append(f"{len(wanted_by)} bonds ({named(list(wanted_by))}) were withdrawn{place}.")
        lines.append(
            f"{len(held)} of them are still wanted: {named(held)}." if held else "No list wants them any more."
        )
        return lines
    for each, others in wanted_by.items():
        lines.append(f"{each} was withdrawn{place}.")
        lines.append(f"{each} is still wanted by {', '.join(others)}." if others else f"No list wants {each} any more.")
    return lines


def _bonds(lists: Lists, name: str) -> tuple[str, ...]:
    entry = lists.entries.get(name)  # none if the name is so long that the connector ignores it
    return () if entry is None or entry.in_force is None else entry.in_force.wish.instruments


def _records(
    control: Mapping[str, bytes], lists: Lists, isins: Sequence[str], name: str | None, *, confirm: bool
) -> edits.Records:
    if name is None:
        return edits.removed(isins, control, confirm=confirm)
    if isins:
        return edits.removed_from(
            name, isins, control.get(name), topics.new_request(lists.entries.get(name)), confirm=confirm
        )
    if name in control:
        return edits.tombstone(name, confirm=confirm)
    if name not in lists.entries:
        raise RequestMalformed(f"There is no list {printable(name)}. Nothing was written.")
    # The topic has no record of the list, but the connector holds its removal back.
    if not confirm:
        raise RequestMalformed(
            f"The removal of list {printable(name)} is held back already. Nothing was written. "
            "Give --confirm to let it pass."
        )
    return edits.tombstone(name, confirm=True)
