"""`kis-bond subs add`: ask for bonds."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.subs import master, topics
from connector.cli.subs.ls import as_object
from connector.cli.subs.waiting import Goal, Wait, Waited, unreported, until
from connector.core.lists import edits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.settings import Settings

EXAMPLES = (
    "Examples: kis-bond subs add KR103502GA34 --wait 30 | kis-bond subs add KR103502GA34 KR103502GD31 --list desk"
)


def add(
    context: typer.Context,
    isins: Annotated[list[str], typer.Argument(metavar="ISIN...", help="The bonds, such as KR103502GA34.")],
    *,
    name: Annotated[
        str | None,
        typer.Option("--list", metavar="NAME", help="Add to this list. Default: a list of its own for each bond."),
    ] = None,
    wait: Wait = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Ask for bonds."""
    wanted = edits.check(isins)
    asyncio.run(_add(load_settings(context, config), wanted, name, wait, as_json=as_json))


async def _add(
    settings: Settings, isins: Sequence[str], name: str | None, wait: float | None, *, as_json: bool
) -> None:
    warnings = master.warn(isins)
    idle: list[str] = []
    if name is None:
        records = edits.added(isins, None, None, topics.request())
    else:
        found = await topics.read(settings)
        standing = found.standing()
        records = edits.added(isins, name, found.values.get(name), topics.request(standing.entries.get(name)))
        topics.refuse_if_held_back(
            standing, records, "Write the whole list: kis-bond subs apply, with --confirm where bonds are to go."
        )
        idle = [each for each in isins if each not in edits.after(standing, records).desired]
    offset = await topics.write(settings, records)
    if not as_json:
        typer.echo(
            f"{', '.join(isins)} {'was' if len(isins) == 1 else 'were'} asked for{f' in list {name}' if name else ''}."
        )
    waited = None
    if wait is not None and idle:
        why = f"list {name} is paused"
        ended = [f"{each} cannot become ACTIVE: {why}, and no other list wants it." for each in idle]
        waited = Waited([unreported(each, why) for each in idle], (), ended)
    elif wait is not None:
        waited = await until(
            settings, Goal(dict.fromkeys(dict(records), offset), active=dict.fromkeys(isins, offset)), wait
        )
    if as_json:
        shown: dict[str, object] = {"written": [key for key, _ in records], "offset": offset, "warnings": warnings}
        shown |= {} if waited is None else {"instruments": [as_object(row) for row in waited.rows]}
        typer.echo(json.dumps(shown, ensure_ascii=False))
    if waited is not None and wait is not None:
        waited.require("ACTIVE", wait)
        if not as_json:
            typer.echo(f"{', '.join(isins)} {'is' if len(isins) == 1 else 'are'} ACTIVE.")
