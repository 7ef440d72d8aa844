"""`kis-bond subs watch`: print each change of the wanted bonds' states."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import completion
from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_line, raise_if_reader_gone, remark, say, short, short_names, to_json
from connector.cli.subs import topics
from connector.cli.subs.ls import as_object
from connector.core import seoul_time
from connector.core.lists import edits
from connector.core.status.rows import refused_lists, to_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.status.rows import Row
    from connector.settings import Settings

EXAMPLES = "Examples: kis-bond subs watch | kis-bond subs watch --list desk --json"
# A slot that falls silent writes nothing, so its bonds are compared again without a new record.
COMPARE_AGAIN_SECONDS = 5.0
READER_CHECKS = 10  # within these seconds


def watch(
    context: typer.Context,
    *,
    name: Annotated[
        str | None,
        typer.Option("--list", metavar="NAME", autocompletion=completion.lists, help="Only the bonds of this list."),
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show the bonds, then each change of a state, until Ctrl-C."""
    asyncio.run(_watch(load_settings(context, config), name, as_json=as_json))


async def _watch(settings: Settings, name: str | None, *, as_json: bool) -> None:
    # Imported only here, so that `--help` need not load the Kafka client.
    from connector.cli import kafka_access

    tell = print_line if as_json else say
    shown: dict[str, Row] = {}
    refused: dict[str, str] = {}
    problems: set[str | None] = set()
    async with (
        kafka_access.following(settings, settings.topics.control) as control,
        kafka_access.following(settings, settings.topics.status) as status,
    ):
        lists = topics.Snapshot(control.records, topics.status_records(status.records)).lists()
        name = edits.name_to_show(name, lists.entries)
        remark(f"Waiting for changes of {'the wanted bonds' if name is None else f'list {name}'}. Ctrl-C ends it.")
        while True:
            control.changed.clear()
            status.changed.clear()
            now = datetime.now(UTC)
            records = topics.status_records(status.records)
            everything = {row.instrument: row for row in to_rows(records, topics.values(control.records), now)}
            rows = {isin: row for isin, row in everything.items() if name is None or name in row.lists}
            for line in changes(shown, rows, everything, now, as_json=as_json):
                tell(line)
            present = {key: reason for key, reason in refused_lists(records).items() if name in (None, key)}
            for key, reason in present.items():
                if refused.get(key) != reason:
                    tell(
                        to_json({"list": key, "refused": reason})
                        if as_json
                        else f"{_clock(now)}  list {short_names([key])} was refused: {short(reason)}"
                    )
            found = {control.problem, status.problem} - {None}
            for problem in found - problems:
                say(f"{_clock(now)}  {problem}", err=True)
            shown, refused, problems = rows, present, found
            raise_if_reader_gone()
            await _wait_for_any(control.changed, status.changed)


def changes(
    before: Mapping[str, Row], after: Mapping[str, Row], everything: Mapping[str, Row], now: datetime, *, as_json: bool
) -> list[str]:
    """Return a line for each bond that is new, has changed, or is gone (state null in JSON).

    `before` and `after` are the watched rows. A bond that left them is not gone if a row of
    `everything` says that other lists still want it.
    """
    lines = []
    for isin in sorted(before.keys() | after.keys()):
        was, row = before.get(isin), after.get(isin)
        if row == was:
            continue
        elsewhere = everything.get(isin)
        if row is None and elsewhere is not None and not elsewhere.lists:
            elsewhere = None
        if as_json:
            current = row or elsewhere
            shown = {"instrument": isin, "state": None} if current is None else as_object(current)
            lines.append(to_json(shown))
        elif row is None and elsewhere is not None:
            lines.append(f"{_clock(now)}  {short(isin)}  left the list; still wanted by {short_names(elsewhere.lists)}")
        elif row is None:
            lines.append(f"{_clock(now)}  {short(isin)}  was released: no list wants it any more")
        elif was is None or (was.state, was.slot, was.why, was.lists) != (row.state, row.slot, row.why, row.lists):
            state = short(row.state)
            came_from = f"{short(was.state)} -> " if was is not None and was.state != row.state else ""
            slot = "" if row.slot is None else f"  slot {row.slot}"
            why = f"  {short(row.why)}" if row.why else ""
            lines.append(f"{_clock(now)}  {short(isin)}  {came_from}{state}{slot}  {short_names(row.lists)}{why}")
    return lines


def _clock(now: datetime) -> str:
    return f"{seoul_time.clock(now)} KST"


async def _wait_for_any(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        for _ in range(READER_CHECKS):
            seconds = COMPARE_AGAIN_SECONDS / READER_CHECKS
            if (await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED))[0]:
                return
            raise_if_reader_gone()
    finally:
        for task in waiting:
            task.cancel()
