"""`kis-bond subs add`: request bonds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import completion
from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, say
from connector.cli.subs import master, topics
from connector.cli.subs.ls import as_object
from connector.cli.subs.waiting import Goal, Wait, WaitResult, pending_row, wait_for
from connector.core.lists import edits
from connector.core.phrase import MOST_NAMED, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.settings import Settings

EXAMPLES = (
    "Examples: kis-bond subs add KR103502GA34 --wait 30 | kis-bond subs add KR103502GA34 KR103502GD31 --list desk"
)


def add(
    context: typer.Context,
    isins: Annotated[
        list[str],
        typer.Argument(metavar="ISIN...", autocompletion=completion.isins, help="The bonds, such as KR103502GA34."),
    ],
    *,
    name: Annotated[
        str | None,
        typer.Option(
            "--list",
            metavar="NAME",
            autocompletion=completion.lists,
            help="Add to this list. Default: a list of its own for each bond.",
        ),
    ] = None,
    wait: Wait = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Request bonds."""
    wanted = edits.check(isins)
    name = None if name is None else edits.name_to_write(name)
    asyncio.run(_add(load_settings(context, config), wanted, name, wait, as_json=as_json))


async def _add(
    settings: Settings, isins: Sequence[str], name: str | None, wait: float | None, *, as_json: bool
) -> None:
    warnings = master.warn(isins)
    idle: list[str] = []
    if name is None:
        records: edits.Records = [(each, b"{}") for each in isins]
    else:
        snapshot = await topics.read(settings)
        lists = snapshot.lists()
        records = edits.added(isins, name, snapshot.values.get(name), topics.new_request(lists.entries.get(name)))
        topics.refuse_if_held_back(
            lists, records, "Write the whole list: kis-bond subs apply, with --confirm if it removes bonds."
        )
        idle = [each for each in isins if each not in edits.after(lists, records).desired]
    offset = await topics.write(settings, records)
    if not as_json:
        say(f"{_subject(isins)} {'was' if len(isins) == 1 else 'were'} asked for{f' in list {name}' if name else ''}.")
    result = None
    if wait is not None and idle:
        why = f"list {name} is paused"
        failures = [f"{each} cannot become ACTIVE: {why}, and no other list wants it." for each in idle]
        result = WaitResult([pending_row(each, why) for each in idle], (), failures)
    elif wait is not None:
        result = await wait_for(
            settings, Goal(dict.fromkeys(dict(records), offset), active=dict.fromkeys(isins, offset)), wait
        )
    if as_json:
        shown: dict[str, object] = {"written": [key for key, _ in records], "offset": offset, "warnings": warnings}
        shown |= {} if result is None else {"instruments": [as_object(row) for row in result.rows]}
        print_json(shown)
    if result is not None and wait is not None:
        result.require("ACTIVE", wait)
        if not as_json:
            say(f"{_subject(isins)} {'is' if len(isins) == 1 else 'are'} ACTIVE.")


def _subject(isins: Sequence[str]) -> str:
    return named(isins) if len(isins) <= MOST_NAMED else f"{len(isins)} bonds ({named(isins)})"
