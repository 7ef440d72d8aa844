"""`kis-bond tail`: print the decoded ticks of the topic."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from connector.cli.options import Config, Json, load_settings
from connector.cli.output import cell, console, raise_if_reader_gone, say, to_json
from connector.core.bonds.isin import has_shape
from connector.core.printable import printable
from connector.core.ticks.avro import TickSchema, decode, plain
from connector.errors import NotInTime, RequestMalformed
from connector.packaged_files import bond_tick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.settings import Settings

EXAMPLES = "Examples: kis-bond tail | kis-bond tail --from-beginning --isin KR103502GA34 --count 10 --json"
POLL_MS = 500
# Heading, field and width of each column of the table; --json shows every field.
COLUMNS = (
    ("traded at (UTC)", "traded_at", 32),
    ("ISIN", "STND_ISCD", 12),
    ("name", "BOND_ISNM", 32),
    ("price", "STCK_PRPR", 12),
    ("volume", "CNTG_VOL", 12),
    ("yield %", "BOND_CNTG_ERT", 10),
    ("day's volume", "ACML_VOL", 14),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One record of the topic: the decoded tick, or why it could not be decoded."""

    partition: int
    offset: int
    key: str
    tick: dict[str, Any] | None
    bad: str | None


def tail(
    context: typer.Context,
    *,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the oldest tick instead of the next one.")
    ] = False,
    isin: Annotated[
        list[str] | None, typer.Option("--isin", metavar="ISIN", help="Only this bond; may be repeated.")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after this many ticks.")] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Print ticks as they arrive. A record that cannot be decoded is shown as a bad record."""
    wrong = [each for each in isin or [] if not has_shape(each)]
    if wrong:
        raise RequestMalformed(f"{printable(', '.join(wrong))} is not an ISIN.")
    settings = load_settings(context, config)
    asyncio.run(
        _tail(
            settings, _Printer(as_json=as_json, isins=frozenset(isin or ()), count=count), from_beginning=from_beginning
        )
    )


class _Printer:
    """Prints lines until it has printed as many as asked for."""

    def __init__(self, *, as_json: bool, isins: frozenset[str], count: int | None) -> None:
        self._as_json, self._isins, self._left = as_json, isins, count
        self._console = console()
        self._headed = False

    @property
    def is_done(self) -> bool:
        return self._left == 0

    def show(self, lines: Sequence[Line]) -> None:
        wanted = [line for line in lines if not self._isins or line.key in self._isins]
        if self._left is not None:
            wanted = wanted[: self._left]
            self._left -= len(wanted)
        if self._as_json:
            for line in wanted:
                say(as_json(line))
        elif wanted:
            self._console.print(self._table(wanted))
            self._headed = True

    def _table(self, lines: Sequence[Line]) -> Table:
        table = Table(box=None, pad_edge=False, show_header=not self._headed)
        for heading, field, width in COLUMNS:
            right = field not in {"traded_at", "STND_ISCD", "BOND_ISNM"}
            table.add_column(heading, width=width, no_wrap=True, justify="right" if right else "left")
        for line in lines:
            if line.tick is None:
                place = f"{line.partition}:{line.offset}"
                table.add_row("bad record", cell(line.key), cell(line.bad or ""), "", "", "", place)
            else:
                table.add_row(*(_cell(line.tick[field]) for _, field, _ in COLUMNS))
        return table


def as_json(line: Line) -> str:
    """Return a line as one JSON object.

    It has every field of the tick, or the place of a bad record and what is wrong with it.
    """
    if line.tick is None:
        return to_json({"bad": line.bad, "key": line.key, "partition": line.partition, "offset": line.offset})
    return to_json({name: plain(value) for name, value in line.tick.items()})


def _cell(value: Any) -> str:
    return "-" if value is None else cell(str(plain(value)))


def _line(record: Any, schema: TickSchema) -> Line:
    key = (record.key or b"").decode(errors="replace")
    try:
        return Line(record.partition, record.offset, key, decode(record.value or b"", schema), None)
    except ValueError as error:
        return Line(record.partition, record.offset, key, None, str(error))


async def _tail(settings: Settings, printer: _Printer, *, from_beginning: bool) -> None:
    # Imported only here, so that `--help` need not load the Kafka client.
    from aiokafka import AIOKafkaConsumer, TopicPartition
    from aiokafka.errors import KafkaError

    from connector.cli import kafka_access
    from connector.shell.kafka.clients import has_topic
    from connector.shell.kafka.closing import stop

    topic, schema = settings.topics.ticks, TickSchema(bond_tick())
    consumer: Any = AIOKafkaConsumer(**kafka_access.client_arguments(settings), group_id=None, enable_auto_commit=False)
    try:
        async with asyncio.timeout(kafka_access.PATIENCE_SECONDS):
            await consumer.start()
            if not await has_topic(consumer, topic):
                raise NotInTime(f"Topic {topic} does not exist or may not be read: run kis-bond topics init.")
            await consumer._client.add_topic(topic)  # noqa: SLF001 - no public way to the client; the version is pinned
            partitions = [TopicPartition(topic, each) for each in consumer.partitions_for_topic(topic) or ()]
            consumer.assign(partitions)
            await (consumer.seek_to_beginning if from_beginning else consumer.seek_to_end)(*partitions)
        while not printer.is_done:
            batches = await consumer.getmany(timeout_ms=POLL_MS)
            printer.show([_line(record, schema) for batch in batches.values() for record in batch])
            raise_if_reader_gone()
    except (KafkaError, TimeoutError) as error:
        raise NotInTime(
            f"{topic} at {settings.kafka.bootstrap_servers} could not be read: {kafka_access.reason(error, 'Read')}"
        ) from error
    finally:
        await stop(consumer)
