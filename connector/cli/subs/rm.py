"""`kis-bond subs rm`: withdraw bonds, or a whole list."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.subs import topics
from connector.cli.subs.waiting import Goal, taken_up, until
from connector.core import record_keys
from connector.core.lists import edits
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.core.lists.subscription import Lists
    from connector.settings import Settings

EXAMPLES = "Examples: kis-bond subs rm KR103502GA34 | kis-bond subs rm KR103502GA34 --list desk | kis-bond subs rm --list desk --confirm"


def rm(
    context: typer.Context,
    isins: Annotated[
        list[str] | None, typer.Argument(metavar="[ISIN...]", help="The bonds. Without any, --list is removed whole.")
    ] = None,
    *,
    name: Annotated[str | None, typer.Option("--list", metavar="NAME", help="The list to take them from.")] = None,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Let the removal pass the guard against mass removal.")
    ] = False,
    wait: Annotated[
        float | None,
        typer.Option("--wait", min=0, metavar="SECONDS", help="Wait until each bond is released; else end with 5."),
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
    found = await topics.read(settings)
    standing = found.standing()
    records = _records(found.values, standing, isins, name, confirm=confirm)
    topics.refuse_if_held_back(standing, records)
    offset = await topics.write(settings, records)
    after = {key: value for key, value in (found.values | dict(records)).items() if value is not None}
    wanted_by = {each: edits.naming(each, after) for each in isins}
    if as_json:
        typer.echo(
            json.dumps(
                {"written": sorted(dict(records)), "offset": offset, "still_wanted_by": wanted_by}, ensure_ascii=False
            )
        )
    else:
        for line in _said(wanted_by, name):
            typer.echo(line)
    if wait is not None:
        going = isins or _bonds(standing, str(name))
        written = dict(records)
        goal = Goal(
            dict.fromkeys(written, offset),
            released=dict.fromkeys(going, written),
            reported=[key for key, value in written.items() if value is not None],
            removed={key: record_keys.LIST + key in found.status for key, value in written.items() if value is None},
        )
        waited = await until(settings, goal, wait)
        waited.require("released", wait)
        if not as_json:
            typer.echo(taken_up(goal, waited))


def _said(wanted_by: Mapping[str, Sequence[str]], name: str | None) -> list[str]:
    lines = [] if wanted_by else [f"The removal of list {name} was written."]
    for each, others in wanted_by.items():
        lines.append(f"{each} was withdrawn{f' from list {name}' if name else ''}.")
        lines.append(f"{each} is still wanted by {', '.join(others)}." if others else f"No list wants {each} any more.")
    return lines


def _bonds(standing: Lists, name: str) -> tuple[str, ...]:
    content = standing.entries[name].in_force
    return () if content is None else content.wish.instruments


def _records(
    control: Mapping[str, bytes], standing: Lists, isins: Sequence[str], name: str | None, *, confirm: bool
) -> edits.Records:
    if name is None:
        return edits.removed(isins, control, confirm=confirm)
    if isins:
        return edits.removed_from(
            name, isins, control.get(name), topics.request(standing.entries.get(name)), confirm=confirm
        )
    if name in control:
        return edits.tombstone(name, confirm=confirm)
    if name not in standing.entries:
        raise RequestMalformed(f"There is no list {name}. Nothing was written.")
    # The topic holds no record of it, but the connector held its removal back.
    if not confirm:
        raise RequestMalformed(
            f"The removal of list {name} is held back already. Nothing was written. Give --confirm to let it pass."
        )
    return edits.tombstone(name, confirm=True)
