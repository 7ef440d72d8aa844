"""`kis-bond tail`: print the ticks, dead letters or feed events as they are published."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import completion, tail_lines
from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_line, raise_if_reader_gone, remark, say, terminal_width
from connector.cli.table import chosen
from connector.core import time_span
from connector.core.bonds import isin as bond_isin
from connector.core.ticks.avro import OWN_FIELDS, TickSchema
from connector.core.ticks.record_time import time_ms
from connector.errors import RequestMalformed
from connector.packaged_files import bond_tick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.settings import Settings

EXAMPLES = """Examples:

  kis-bond tail

  kis-bond tail --last 20 --isin KR103502GA34

  kis-bond tail --since 09:00 --columns traded_at,STND_ISCD,STCK_PRPR

  kis-bond tail --from-beginning --count 10 --json
"""
POLL_MS = 500
MOST_LAST = 100_000


@dataclass(frozen=True, slots=True)
class _Start:
    """Where to begin: with the oldest record, the last ones, those since a time, or the next."""

    is_beginning: bool
    last: int | None
    since_ms: int | None


def tail(
    context: typer.Context,
    *,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the oldest record instead of the next one.")
    ] = False,
    last: Annotated[
        int | None, typer.Option("--last", min=1, max=MOST_LAST, metavar="N", help="Begin with the last N records.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Begin at this time: RFC 3339, or HH:MM of today in Seoul."),
    ] = None,
    isin: Annotated[
        list[str] | None,
        typer.Option(
            "--isin", metavar="ISIN", autocompletion=completion.isins, help="Only this bond; may be repeated."
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, metavar="N", help="End after this many records.")
    ] = None,
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="Show dead letters instead of ticks.")] = False,
    events: Annotated[bool, typer.Option("--events", help="Show feed events instead of ticks.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Show records as Kafka holds them, undecoded, as JSON.")] = False,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="FIELD,...", help="Show these fields of the ticks.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Print ticks as they arrive. A record that cannot be decoded is shown as a bad record.

    Times are those of Seoul (KST); with --json they are in UTC. For --last and --since, a record
    without a timestamp counts as of the time at which its tick was received.
    """
    wrong = [fault for each in isin or [] if (fault := bond_isin.fault(each))]
    if wrong:
        raise RequestMalformed("\n".join(wrong))
    if sum((from_beginning, last is not None, since is not None)) > 1:
        raise RequestMalformed("Give one of --from-beginning, --last and --since.")
    if dead_letters and events:
        raise RequestMalformed("Give one of --dead-letters and --events.")
    start = _Start(from_beginning, last, None if since is None else _ms(since))
    schema = TickSchema(bond_tick())
    fields = chosen(columns, [*(column["name"] for column in schema.columns), *OWN_FIELDS])
    settings = load_settings(context, config)
    lines: tail_lines.Lines
    if dead_letters:
        topic, what, lines = settings.topics.dead_letters, "dead letters", tail_lines.LetterLines()
    elif events:
        topic, what, lines = settings.topics.events, "events", tail_lines.EventLines()
    else:
        topic, what, lines = (
            settings.topics.ticks,
            "ticks",
            tail_lines.TickLines(schema, fields, terminal_width(sys.stdout)),
        )
    shown = tail_lines.RawLines() if raw else lines
    printer = _Printer(shown, frozenset(isin or ()), start.since_ms, count, as_json=as_json or raw)
    asyncio.run(_tail(settings, topic, printer, start, what))


def _ms(text: str) -> int:
    try:
        return time_span.to_ns(text, time_span.seoul_date(time.time_ns())) // 1_000_000
    except ValueError as error:
        raise RequestMalformed(f"--since: {error}.") from None


class _Printer:
    """Prints records until it has printed as many as asked for."""

    def __init__(
        self, lines: tail_lines.Lines, isins: frozenset[str], since_ms: int | None, left: int | None, *, as_json: bool
    ) -> None:
        self._lines, self._isins, self._since_ms, self._left, self._as_json = lines, isins, since_ms, left, as_json
        self._is_headed = as_json or lines.heading is None

    @property
    def is_done(self) -> bool:
        return self._left == 0

    def is_wanted(self, record: Any) -> bool:
        if self._since_ms is not None and time_ms(record) < self._since_ms:
            return False
        return not self._isins or (record.key or b"").decode(errors="replace") in self._isins

    def show(self, records: Sequence[Any]) -> None:
        wanted = [record for record in records if self.is_wanted(record)]
        if self._left is not None:
            wanted = wanted[: self._left]
            self._left -= len(wanted)
        if wanted and not self._is_headed:
            print_line(self._lines.heading or "")
            self._is_headed = True
        for record in wanted:
            if self._as_json:
                print_line(self._lines.json(record))
            else:
                say(self._lines.text(record))


async def _tail(settings: Settings, topic: str, printer: _Printer, start: _Start, what: str) -> None:
    # Imported only here, so that `--help` need not load the Kafka client.
    from connector.cli import kafka_access
    from connector.shell.kafka import one_topic

    async with one_topic.opened(topic, kafka_access.client_arguments(settings)) as (consumer, partitions):
        if start.last is not None:
            printer.show(await one_topic.last(consumer, partitions, start.last, printer.is_wanted))
        elif start.since_ms is not None:
            await one_topic.seek_to_time(consumer, partitions, start.since_ms)
        elif not start.is_beginning:
            await consumer.seek_to_end(*partitions)
        ends = await one_topic.end_offsets(consumer, partitions)
        is_waiting = False
        while not printer.is_done:
            if not is_waiting and await one_topic.has_read(consumer, ends):
                is_waiting = True
                remark(f"Waiting for {what} in {topic}. Ctrl-C ends it.")
                if what == "ticks":
                    remark("kis-bond subs ls shows the wanted bonds.")
            batches = await consumer.getmany(timeout_ms=POLL_MS)
            printer.show([record for batch in batches.values() for record in batch])
            raise_if_reader_gone()
