"""`kis-bond subs apply`: make the control topic hold the lists of a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path  # noqa: TC003 - the library reads annotations as it runs
from typing import TYPE_CHECKING, Annotated

import typer

from connector import strict_yaml
from connector.cli.options import Config, Json, load_settings
from connector.cli.subs import master, topics
from connector.cli.subs.ls import as_object
from connector.cli.subs.waiting import Goal, Wait, taken_up, until
from connector.core import record_keys
from connector.core.lists import apply_file
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
SHOWN = 5


def apply(
    context: typer.Context,
    *,
    file: Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON file of lists by name.")],
    name: Annotated[str | None, typer.Option("--list", metavar="NAME", help="Only this list of the file.")] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the lists of the topic that the file does not name.")
    ] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Let removals pass the guard against mass removal.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference, and write nothing.")] = False,
    wait: Wait = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show how a file of lists differs from the topic, and write what differs."""
    document, problems = strict_yaml.read(file, "the file of lists", "correct -f")
    if problems:
        raise RequestMalformed("\n".join([*problems, "Nothing was written."]))
    wanted = _chosen(apply_file.parse(document), name, prune=prune)
    settings = load_settings(context, config)
    asyncio.run(_apply(settings, wanted, wait, prune=prune, confirm=confirm, dry_run=dry_run, as_json=as_json))


def _chosen(wanted: dict[str, Wish], name: str | None, *, prune: bool) -> dict[str, Wish]:
    if name is None:
        return wanted
    if prune:
        raise RequestMalformed(
            "--prune removes what the whole file does not name: leave out --list. Nothing was written."
        )
    if name not in wanted:
        raise RequestMalformed(f"There is no list {name} in the file. Nothing was written.")
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
    found = await topics.read(settings)
    standing = found.standing()
    changes = apply_file.compare(wanted, standing, prune=prune)
    records = apply_file.records(changes, topics.request(), confirm=confirm)
    if not as_json:
        for line in described(changes):
            typer.echo(line)
    topics.refuse_if_held_back(standing, records)
    offset = await topics.write(settings, records) if records and not dry_run else -1
    written = [] if dry_run else list(dict.fromkeys(name for name, _ in records))
    if not as_json:
        typer.echo(said(written, dry_run=dry_run))
    goal = waited = None
    if wait is not None and not dry_run:
        # What was not written has to be confirmed as of the record there is.
        offsets = {name: entry.control.offset for name, entry in standing.entries.items() if name in wanted}
        goal = _goal(changes, wanted, offsets | dict.fromkeys(written, offset), found.status)
        waited = await until(settings, goal, wait)
        if goal.active and not as_json:
            confirmed = sum(row.state == "ACTIVE" and row.instrument in goal.active for row in waited.rows)
            typer.echo(f"{confirmed} of {len(goal.active)} bonds are ACTIVE.")
    if as_json:
        shown: dict[str, object] = {"changes": [_as_object(change) for change in changes], "written": written}
        shown |= {"offset": offset, "warnings": warnings}
        shown |= {} if waited is None else {"instruments": [as_object(row) for row in waited.rows]}
        # What stood in the topic may hold half a surrogate pair, which only its escape can show.
        typer.echo(json.dumps(shown, ensure_ascii=False).encode(errors="backslashreplace").decode())
    if goal is not None and waited is not None and wait is not None:
        waited.require(
            " and ".join(["ACTIVE", *(["released"] if goal.released else [])]) if goal.active else "taken up", wait
        )
        if (goal.released or not goal.active) and not as_json:
            typer.echo(taken_up(goal, waited))


def _goal(
    changes: Sequence[Change], wanted: Mapping[str, Wish], offsets: Mapping[str, int], status: Mapping[str, Record]
) -> Goal:
    active: dict[str, int] = {}
    for name, wish in wanted.items():
        active |= {isin: max(offsets[name], active.get(isin, -1)) for isin in apply_file.active(wish)}
    released: dict[str, list[str]] = {}
    for change in changes:
        for isin in change.lost:
            released.setdefault(isin, []).append(change.name)
    return Goal(
        offsets,
        active,
        released,
        reported=[name for name, wish in wanted.items() if not apply_file.active(wish)],
        removed={change.name: record_keys.LIST + change.name in status for change in changes if change.after is None},
    )


def said(written: Sequence[str], *, dry_run: bool) -> str:
    """Return the sentence behind the difference."""
    if dry_run:
        return "Nothing was written: --dry-run."
    match len(written):
        case 0:
            return "Nothing differs."
        case 1:
            return "1 list was written."
        case count:
            return f"{count} lists were written."


def described(changes: Sequence[Change]) -> list[str]:
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
                    f"{sign} {_shortened(isins)}"
                    for sign, isins in (("+", change.added), ("-", change.removed))
                    if isins
                ]
                parts += [f"{name} {before!r} -> {after!r}" for name, (before, after) in change.fields.items()]
                parts += [f"its latest record is not in force: {change.refusal}"] if change.refusal else []
                lines.append(f"~ {change.name}: {'; '.join(parts)}")
    same = sum(change.kind == "unchanged" for change in changes)
    return [*lines, *([f"= {same} unchanged"] if same else [])]


def _counted(isins: Sequence[str]) -> str:
    return f"{len(isins)} bond{'' if len(isins) == 1 else 's'}" + (f" ({_shortened(isins)})" if isins else "")


def _shortened(isins: Sequence[str]) -> str:
    return ", ".join(isins[:SHOWN]) + (f" and {len(isins) - SHOWN} more" if len(isins) > SHOWN else "")


def _as_object(change: Change) -> dict[str, object]:
    return {
        "list": change.name,
        "change": change.kind,
        "added": change.added,
        "removed": change.removed,
        "refusal": change.refusal,
        "fields": {name: {"before": before, "after": after} for name, (before, after) in change.fields.items()},
    }
