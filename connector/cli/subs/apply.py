"""`kis-bond subs apply`: make the control topic hold the lists of a file."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from connector import strict_yaml
from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, remark, say
from connector.cli.subs import master, topics
from connector.cli.subs.ls import as_object
from connector.cli.subs.waiting import Goal, Wait, confirmation, wait_for
from connector.core import record_keys
from connector.core.lists import apply_file, edits
from connector.core.phrase import named
from connector.core.printable import printable
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.core.lists.apply_file import Change
    from connector.core.lists.control_record import Wish
    from connector.core.status import Record
    from connector.settings import Settings

EXAMPLES = """Examples:

  kis-bond subs apply -f lists.yaml --wait 60

  kis-bond subs apply -f lists.yaml --prune --dry-run

The file maps names to lists:

  desk: {instruments: [KR103502GA34, KR103502GD31], priority: 7}
"""
# All 20,000 bonds that lists may want take half a megabyte.
MAX_FILE_BYTES = 4 * 2**20


def apply(
    context: typer.Context,
    *,
    file: Annotated[
        Path,
        typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON file of lists by name; - for standard input."),
    ],
    name: Annotated[str | None, typer.Option("--list", metavar="NAME", help="Only this list of the file.")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove lists of the topic that are not in the file.")] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Let removals pass the guard against mass removal.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the differences, and write nothing.")] = False,
    wait: Wait = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show how a file of lists differs from the topic, and write the differences."""
    if is_stdin := str(file) == "-":
        remark("Reading lists from standard input. Ctrl-D ends them.")
    document, problems = strict_yaml.read(None if is_stdin else file, "the file of lists", "correct -f", MAX_FILE_BYTES)
    if problems:
        raise RequestMalformed("\n".join([*problems, "Nothing was written."]))
    wanted = _chosen(apply_file.parse(document), name, prune=prune)
    settings = load_settings(context, config)
    asyncio.run(_apply(settings, wanted, wait, prune=prune, confirm=confirm, dry_run=dry_run, as_json=as_json))


def _chosen(wanted: dict[str, Wish], name: str | None, *, prune: bool) -> dict[str, Wish]:
    if name is None:
        return wanted
    if prune:
        raise RequestMalformed("--prune removes lists that are not in the file: leave out --list. Nothing was written.")
    name = edits.name_to_find(name, wanted)
    if name not in wanted:
        raise RequestMalformed(f"There is no list {printable(name)} in the file. Nothing was written.")
    return {name: wanted[name]}


async def _apply(
    settings: Settings,
    wanted: dict[str, Wish],
    wait: float | None,
    *,
    prune: bool,
    confirm: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    warnings = master.warn(dict.fromkeys(isin for wish in wanted.values() for isin in wish.instruments))
    snapshot = await topics.read(settings)
    lists = snapshot.lists()
    changes = apply_file.compare(wanted, lists, prune=prune)
    records = apply_file.records(changes, topics.new_request(), confirm=confirm)
    if not as_json:
        for line in describe(changes):
            say(line)
    topics.refuse_if_held_back(lists, records)
    offset = await topics.write(settings, records) if records and not dry_run else -1
    written = [] if dry_run else list(dict.fromkeys(name for name, _ in records))
    if not as_json:
        say(summarize(written, dry_run=dry_run))
    goal = result = None
    if wait is not None and not dry_run:
        # The bonds of an unchanged list have to be confirmed as of its latest record.
        offsets = {name: entry.control.offset for name, entry in lists.entries.items() if name in wanted}
        goal = _goal(changes, wanted, offsets | dict.fromkeys(written, offset), snapshot.status)
        result = await wait_for(settings, goal, wait)
        if goal.active and not as_json:
            confirmed = sum(row.state == "ACTIVE" and row.instrument in goal.active for row in result.rows)
            say(f"{confirmed} of {len(goal.active)} bonds are ACTIVE.")
    if as_json:
        shown: dict[str, object] = {"changes": [_as_object(change) for change in changes], "written": written}
        shown |= {"offset": offset, "warnings": warnings}
        shown |= {} if result is None else {"instruments": [as_object(row) for row in result.rows]}
        print_json(shown)
    if goal is not None and result is not None and wait is not None:
        result.require(
            " and ".join(["ACTIVE", *(["released"] if goal.released else [])]) if goal.active else "applied", wait
        )
        if (goal.released or not goal.active) and not as_json:
            say(confirmation(goal, result))


def _goal(
    changes: Sequence[Change], wanted: Mapping[str, Wish], offsets: Mapping[str, int], status: Mapping[str, Record]
) -> Goal:
    active: dict[str, int] = {}
    for name, wish in wanted.items():
        active |= {isin: max(offsets[name], active.get(isin, -1)) for isin in wish.wanted}
    released: dict[str, list[str]] = {}
    for change in changes:
        for isin in change.lost:
            released.setdefault(isin, []).append(change.name)
    return Goal(
        offsets,
        active,
        released,
        reported=[name for name, wish in wanted.items() if not wish.wanted],
        removed={change.name: record_keys.LIST + change.name in status for change in changes if change.after is None},
    )


def summarize(written: Sequence[str], *, dry_run: bool) -> str:
    """Return the sentence after the differences."""
    if dry_run:
        return "Nothing was written: --dry-run."
    match len(written):
        case 0:
            return "Nothing differs."
        case 1:
            return "1 list was written."
        case count:
            return f"{count} lists were written."


def describe(changes: Sequence[Change]) -> list[str]:
    """Return a line for each list that differs, and one that counts the others."""
    lines = []
    for change in changes:
        match change.kind:
            case "new":
                lines.append(f"+ {change.name}: {_counted(change.added)}")
            case "removed":
                lines.append(f"- {change.name}: {_counted(change.removed)}")
            case "changed":
                parts = [
                    f"{sign} {named(isins)}" for sign, isins in (("+", change.added), ("-", change.removed)) if isins
                ]
                parts += [f"{name} {before!r} -> {after!r}" for name, (before, after) in change.fields.items()]
                parts += [f"its latest record is not in force: {change.refusal}"] if change.refusal else []
                lines.append(f"~ {change.name}: {'; '.join(parts)}")
    same = sum(change.kind == "unchanged" for change in changes)
    return [*lines, *([f"= {same} unchanged"] if same else [])]


def _counted(isins: Sequence[str]) -> str:
    return f"{len(isins)} bond{'' if len(isins) == 1 else 's'}" + (f" ({named(isins)})" if isins else "")


def _as_object(change: Change) -> dict[str, object]:
    return {
        "list": change.name,
        "change": change.kind,
        "added": change.added,
        "removed": change.removed,
        "refusal": change.refusal,
        "fields": {name: {"before": before, "after": after} for name, (before, after) in change.fields.items()},
    }
