"""`kis-bond dlq`: show dead letters, and send them through decoding again."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, raise_if_reader_gone, say, short
from connector.cli.progress import Progress
from connector.cli.replay import require_tick_topic
from connector.cli.table import Column, print_table
from connector.core import seoul_time
from connector.core.ticks.avro import TickEncoder, TickSchema
from connector.core.ticks.dead_letter import DeadLetterReason
from connector.core.ticks.letter_replay import Unusable, attempt, frame_of
from connector.errors import NotInTime, RequestMalformed
from connector.packaged_files import bond_tick

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from connector.core.ticks.frame import Received
    from connector.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look at dead letters, and send them through decoding again.")

_REASONS = get_args(DeadLetterReason)
_LONGEST_SHOWN = 60
COLUMNS = (
    Column("place", "whole"),
    Column("received (KST)", "whole"),
    Column("reason", "whole"),
    Column("field", "cut"),
    Column("key", "cut"),
    "detail",
)
_NOT_WHOLE = "NOT_WHOLE"  # a letter that holds only a part, or is none of ours

Reasons = Annotated[
    list[str] | None,
    typer.Option("--reason", metavar="REASON", help="Only letters with this reason; may be repeated."),
]


@app.command("ls", epilog="Example: kis-bond dlq ls --reason FIELD_NUMBER --json | jq -r .value")
def ls(context: typer.Context, *, reason: Reasons = None, as_json: Json = False, config: Config = None) -> None:
    """Show the dead letters, oldest first. With --json, one line each, and whole."""
    reasons = _checked(reason)
    asyncio.run(_ls(load_settings(context, config), reasons, as_json=as_json))


@app.command("replay", epilog="Example: kis-bond dlq replay --reason FIELD_RANGE --reason BUG")
def replay(
    context: typer.Context,
    *,
    reason: Reasons = None,
    to_topic: Annotated[
        str | None, typer.Option("--to-topic", metavar="TOPIC", help="Where ticks go. Default: topics.ticks.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Decode dead letters again, and send the ticks with source = replay.

    Run it after a repair. What is still bad is left, and it then ends with 5.
    No letter is deleted: a second run sends copies with the same tick_id.
    """
    reasons = _checked(reason)
    settings = load_settings(context, config)
    topic = to_topic or settings.topics.ticks
    require_tick_topic(settings, topic, is_allowed=True)
    sent = asyncio.run(_replay(settings, reasons, topic))
    if as_json:
        print_json(
            {"topic": topic, "letters": sent.letters, "ticks": sent.ticks, "left": dict(sorted(sent.left.items()))}
        )
    else:
        say(f"Sent to {topic}: {sent.ticks:,} ticks of {sent.letters:,} dead letters.")
    if sent.left:
        causes = ", ".join(f"{count:,} {cause}" for cause, count in sorted(sent.left.items()))
        raise NotInTime(f"Still bad, and left in {settings.topics.dead_letters}: {causes}.")


def _checked(reasons: list[str] | None) -> frozenset[str]:
    if unknown := [each for each in reasons or [] if each not in _REASONS]:
        raise RequestMalformed(f"--reason {short(unknown[0], 40)!a} is none of {', '.join(_REASONS)}.")
    return frozenset(reasons or _REASONS)


@dataclass(slots=True)
class _Sent:
    """How many letters there were, the ticks Kafka has of them, and what is left by reason."""

    letters: int = 0
    ticks: int = 0
    left: Counter[str] = field(default_factory=Counter)


async def _letters(settings: Settings, reasons: frozenset[str]) -> AsyncIterator[list[Any]]:
    from connector.cli.kafka_access import client_arguments
    from connector.shell.kafka.one_topic import records

    async for batch in records(settings.topics.dead_letters, client_arguments(settings)):
        yield [one for one in batch if _header(one, "reason") in reasons]


def _header(record: Any, name: str) -> str:
    found = dict(record.headers).get(name) or b""
    return str(found.decode("ascii", "backslashreplace"))


async def _ls(settings: Settings, reasons: frozenset[str], *, as_json: bool) -> None:
    rows: list[tuple[str, ...]] = []
    async for letters in _letters(settings, reasons):
        raise_if_reader_gone()
        for one in letters:
            if as_json:
                print_json(_as_json(one))
            else:
                rows.append(_row(one))
    if not as_json:
        print_table(COLUMNS, rows)
        say(f"Dead letters: {len(rows):,}.")


def _as_json(one: Any) -> dict[str, Any]:
    value = one.value or b""
    return {
        "partition": one.partition,
        "offset": one.offset,
        "key": None if one.key is None else one.key.decode(errors="replace"),
        "reason": _header(one, "reason"),
        "field": _header(one, "field") or None,
        "detail": _header(one, "detail"),
        "received_ns": _header(one, "received-ns"),
        "slot": _header(one, "slot"),
        "value": value.decode(errors="backslashreplace"),
    }


def _row(one: Any) -> tuple[str, ...]:
    received = _header(one, "received-ns")
    return (
        f"{one.partition}:{one.offset}",
        _clock(received),
        _header(one, "reason"),
        _header(one, "field") or "-",
        "-" if one.key is None else one.key.decode(errors="replace"),
        short(_header(one, "detail"), _LONGEST_SHOWN),
    )


def _clock(received_ns: str) -> str:
    is_time = received_ns.isdecimal() and len(received_ns) < 20
    return seoul_time.of_epoch(int(received_ns) // 10**9) if is_time else received_ns


async def _replay(settings: Settings, reasons: frozenset[str], topic: str) -> _Sent:
    from connector.app.replay import replay as send

    sent, progress = _Sent(), Progress()
    try:
        counts = await send(
            settings,
            (topic, None),
            _mended(settings, reasons, sent),
            lambda done: progress.show(f"{done:,} of {sent.letters:,} letters sent"),
        )
    finally:
        progress.end()
    sent.ticks = counts.acknowledged
    if refused := counts.dead_letters["KAFKA_REFUSED"]:
        sent.left["KAFKA_REFUSED"] += refused
    return sent


async def _mended(settings: Settings, reasons: frozenset[str], sent: _Sent) -> AsyncIterator[Sequence[Received]]:
    """Yield the frames of which at least one record is good."""
    schema = TickSchema(bond_tick())
    encoder = TickEncoder(schema, schema.single_object_prefix)
    async for letters in _letters(settings, reasons):
        frames = []
        for one in letters:
            sent.letters += 1
            try:
                frame = frame_of(one.value or b"", [(name, content or b"") for name, content in one.headers])
            except Unusable:
                sent.left[_NOT_WHOLE] += 1
                continue
            good, bad = attempt(frame, encoder)
            sent.left.update(bad)
            if good:
                frames.append(frame)
        if frames:
            yield frames
