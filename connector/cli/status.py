"""`kis-bond status` and `top`: who runs, with which slots and figures, once and again and again."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import status_view
from connector.cli.options import MOST_SECONDS, Config, Json, load_settings
from connector.cli.output import is_terminal, print_json, print_line, raise_if_reader_gone, say, terminal_width
from connector.core.url_secrets import without_secrets
from connector.errors import NotInTime, RequestMalformed

if TYPE_CHECKING:
    from connector.settings import Settings

STATUS_EXAMPLES = "Examples: kis-bond status | kis-bond status --json | kis-bond status --url http://bonds:8080"
TOP_EXAMPLES = "Examples: kis-bond top | kis-bond top --every 5 --json"
ANSWER_SECONDS = 3.0
BETWEEN_SECONDS = 1.0  # between the two samples that give a rate
CLEAR = "\x1b[H\x1b[2J"

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Where the connector answers. Default: http.host and http.port."),
]


def status(context: typer.Context, *, url: Url = None, as_json: Json = False, config: Config = None) -> None:
    """Show who runs, the slots, the wanted bonds and, if the connector answers, its figures."""
    asyncio.run(_status(load_settings(context, config), url, as_json=as_json))


def top(
    context: typer.Context,
    *,
    every: Annotated[
        float, typer.Option("--every", min=0.2, max=MOST_SECONDS, metavar="SECONDS", help="Time between two looks.")
    ] = 2.0,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, metavar="N", help="End after this many looks.")
    ] = None,
    url: Url = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show what kis-bond status shows, again and again, until Ctrl-C."""
    asyncio.run(_top(load_settings(context, config), url, every, count, as_json=as_json))


async def _status(settings: Settings, url: str | None, *, as_json: bool) -> None:
    # Imported only here and below, so that `--help` need not load the Kafka client.
    from connector.cli.subs import topics

    snapshot = await topics.read(settings)
    before, problem = await _sample(settings, url)
    sample = None
    if before is not None:
        await asyncio.sleep(BETWEEN_SECONDS)
        sample, problem = await _sample(settings, url)
    found = status_view.as_object(snapshot.status, snapshot.values, before, sample)
    _show(found, problem, as_json=as_json)


async def _top(settings: Settings, url: str | None, every: float, count: int | None, *, as_json: bool) -> None:
    from connector.cli import kafka_access
    from connector.cli.subs import topics

    before = None
    async with (
        kafka_access.following(settings, settings.topics.control) as control,
        kafka_access.following(settings, settings.topics.status) as records,
    ):
        while count is None or count > 0:
            sample, problem = await _sample(settings, url)
            found = status_view.as_object(
                topics.status_records(records.records), topics.values(control.records), before, sample
            )
            if is_terminal(sys.stdout) and not as_json:
                sys.stdout.write(CLEAR)
            _show(found, problem, as_json=as_json)
            for stale in (control.problem, records.problem):
                if stale is not None:
                    say(stale, err=True)
            before = sample
            count = None if count is None else count - 1
            raise_if_reader_gone()
            if count != 0:
                await asyncio.sleep(every)


def _show(found: dict[str, object], problem: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for line in status_view.shown(found, problem, terminal_width(sys.stdout), folds=is_terminal(sys.stdout)):
        print_line(line)


async def _sample(settings: Settings, url: str | None) -> tuple[status_view.Sample | None, str | None]:
    """Return what /status answers, or why it does not."""
    from connector.shell.download import download

    place = url or settings.http.url()
    shown = without_secrets(place)
    try:
        answer = json.loads(await download(f"{place.rstrip('/')}/status", ANSWER_SECONDS))
    except NotInTime as error:
        return None, str(error)
    except RequestMalformed:
        if url is not None:
            raise
        return None, f"{shown} is no address"
    except (ValueError, RecursionError):
        return None, f"{shown} answered no JSON: is it a connector?"
    if not isinstance(answer, dict):
        return None, f"{shown} answered no JSON object: is it a connector?"
    return status_view.Sample(time.monotonic(), answer), None
