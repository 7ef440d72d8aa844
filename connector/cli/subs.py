"""`kis-bond subs`: which bonds are wanted, changed through the control topic and watched through the status topic."""

from __future__ import annotations

import asyncio
import dataclasses
import getpass
import json
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.table import print_table
from connector.core import list_edit, status_view
from connector.core.status import decode
from connector.errors import NotInTime, RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.cli.kafka_access import Replica
    from connector.core.status import Record
    from connector.settings import Settings
    from connector.shell.compacted_topic import TopicRecord

app = typer.Typer(no_args_is_help=True, help="List, add and remove bonds. Needs Kafka, and neither KIS nor the connector.")

Isins = Annotated[list[str], typer.Argument(metavar="ISIN...", help="The bonds, such as KR103502GA34.")]
Wait = Annotated[float | None, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait until each bond is ACTIVE; else end with 5.")]


@app.command(epilog="Example: kis-bond subs ls --json")
def ls(context: typer.Context, *, as_json: Json = False, config: Config = None) -> None:
    """Show each wanted bond, its state and why it has it."""
    settings = load_settings(context, config)
    control, status = asyncio.run(_read_both(settings))
    rows = status_view.rows(status, control, datetime.now(UTC))
    refused = status_view.refused_lists(status)
    if as_json:
        typer.echo(json.dumps({"instruments": [_row_json(row) for row in rows], "refused_lists": refused}, ensure_ascii=False))
        return
    print_table(
        ("instrument", "state", "slot", "since", "lists", "why"),
        (
            (row.instrument, row.state, "-" if row.slot is None else str(row.slot), row.since or "-", ", ".join(row.lists), row.why)
            for row in rows
        ),
    )
    for name, reason in refused.items():
        typer.echo(f"List {name} was refused: {reason}", err=True)


def _row_json(row: status_view.Row) -> dict[str, object]:
    shown = dataclasses.asdict(row)
    del shown["offset"]
    return shown


@app.command(epilog="Examples: kis-bond subs add KR103502GA34 --wait 30 | kis-bond subs add KR103502GA34 KR103502GD31 --list desk")
def add(
    context: typer.Context,
    isins: Isins,
    *,
    name: Annotated[
        str | None, typer.Option("--list", metavar="NAME", help="Add to this list. Default: a list of its own for each bond.")
    ] = None,
    wait: Wait = None,
    config: Config = None,
) -> None:
    """Ask for bonds."""
    wanted = list_edit.check(isins)
    settings = load_settings(context, config)
    asyncio.run(_add(settings, wanted, name, wait))


async def _add(settings: Settings, isins: Sequence[str], name: str | None, wait: float | None) -> None:
    present = (await _read_control(settings)).get(name) if name is not None else None
    offset = await _write(settings, list_edit.added(isins, name, present, _request()))
    typer.echo(f"{', '.join(isins)} {'was' if len(isins) == 1 else 'were'} asked for{f' in list {name}' if name else ''}.")
    if wait is not None:
        await _wait_active(settings, isins, [name] if name else isins, offset, wait)
        typer.echo(f"{', '.join(isins)} {'is' if len(isins) == 1 else 'are'} ACTIVE.")


@app.command(
    epilog="Examples: kis-bond subs rm KR103502GA34 | kis-bond subs rm KR103502GA34 --list desk | kis-bond subs rm --list desk --confirm"
)
def rm(
    context: typer.Context,
    isins: Annotated[list[str] | None, typer.Argument(metavar="[ISIN...]", help="The bonds. Without any, --list is removed whole.")] = None,
    *,
    name: Annotated[str | None, typer.Option("--list", metavar="NAME", help="The list to take them from.")] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Let the removal pass the guard against mass removal.")] = False,
    config: Config = None,
) -> None:
    """Withdraw bonds, or a whole list."""
    if not isins and name is None:
        raise RequestMalformed("Name at least one ISIN, or a list with --list.")
    wanted = list_edit.check(isins or [])
    settings = load_settings(context, config)
    asyncio.run(_remove(settings, wanted, name, confirm=confirm))


async def _remove(settings: Settings, isins: Sequence[str], name: str | None, *, confirm: bool) -> None:
    control = await _read_control(settings)
    if name is None:
        records = list_edit.removed(isins, control, confirm=confirm)
    elif isins:
        records = list_edit.removed_from(name, isins, control.get(name), _request(), confirm=confirm)
    elif name in control:
        records = list_edit.tombstone(name, confirm=confirm)
    else:
        raise RequestMalformed(f"There is no list {name}. Nothing was written.")
    await _write(settings, records)
    after = {key: value for key, value in (control | dict(records)).items() if value is not None}
    for each in isins:
        others = list_edit.wanting(each, after)
        typer.echo(f"{each} was withdrawn{f' from list {name}' if name else ''}.")
        typer.echo(f"{each} is still wanted by {', '.join(others)}." if others else f"No list wants {each} any more.")
    if not isins:
        typer.echo(f"List {name} was removed.")


async def _read_control(settings: Settings) -> dict[str, bytes]:
    # Kafka's client is imported by the commands that need it, here and below, so that `--help` is quick.
    from connector.cli import kafka_access

    return _values(await kafka_access.read(settings, settings.topics.control))


async def _read_both(settings: Settings) -> tuple[dict[str, bytes], dict[str, Record]]:
    from connector.cli import kafka_access

    control, status = await asyncio.gather(
        kafka_access.read(settings, settings.topics.control), kafka_access.read(settings, settings.topics.status)
    )
    return _values(control), _statuses(status)


async def _write(settings: Settings, records: list_edit.Records) -> int:
    from connector.cli import kafka_access

    return await kafka_access.write(settings, settings.topics.control, records)


async def _wait_active(settings: Settings, isins: Sequence[str], lists: Sequence[str], offset: int, seconds: float) -> None:
    """Return once all are ACTIVE by a record that reflects `offset`. Raises NotInTime saying which are not, and why."""
    from connector.cli import kafka_access

    reached: list[status_view.Row] = []
    try:
        async with asyncio.timeout(seconds), kafka_access.following(settings, settings.topics.status) as replica:
            while True:
                replica.changed.clear()
                reached = _reached(replica, isins, lists, offset)
                if all(row.state == "ACTIVE" for row in reached):
                    return
                await replica.changed.wait()
    except TimeoutError:
        late = [f"{row.instrument} is {row.state}{f': {row.why}' if row.why else ''}" for row in reached if row.state != "ACTIVE"]
        told = late or [f"{', '.join(isins)}: the status topic was not read"]
        raise NotInTime("\n".join([f"Not ACTIVE within {seconds:g} s:", *told])) from None


def _reached(replica: Replica, isins: Sequence[str], lists: Sequence[str], offset: int) -> list[status_view.Row]:
    status = _statuses(replica.records)
    for name in lists:
        record = status.get(f"list/{name}")
        if status_view.is_refusal_of(record, offset) and record is not None:
            raise NotInTime(f"List {name} was refused: {record.get('reason')}")
    rows = {row.instrument: row for row in status_view.rows(status, {}, datetime.now(UTC))}
    return [_as_of(rows.get(each), each, offset) for each in isins]


def _as_of(row: status_view.Row | None, each: str, offset: int) -> status_view.Row:
    """Take a row that reflects an older control record than ours as no answer yet."""
    if row is None or row.offset < offset:
        return status_view.Row(each, "PENDING", None, None, (), "no connector has reported on it", -1)
    return row


def _request() -> list_edit.Request:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return list_edit.Request(f"{_user()}@{socket.gethostname()}", now)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        return "unknown"


def _values(records: Mapping[str, TopicRecord]) -> dict[str, bytes]:
    return {key: record.value for key, record in records.items() if record.value is not None}


def _statuses(records: Mapping[str, TopicRecord]) -> dict[str, Record]:
    decoded = {key: decode(value) for key, value in _values(records).items()}
    return {key: record for key, record in decoded.items() if record is not None}
