"""`kis-bond replay`: send the frames of a recording to a topic."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, say
from connector.cli.progress import Progress
from connector.core.time_span import Span, seoul_date, span
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.core.ticks.frame import Received
    from connector.settings import Settings
    from connector.shell.delivery.counts import Counts

EXAMPLES = (
    "Examples: kis-bond replay day.jsonl.gz --to-topic bond.ticks.test --speed 10 | "
    "kis-bond replay day.jsonl.gz --to-topic bond.ticks.test --speed max --from 09:00 --to 09:30"
)


def replay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What kis-bond record wrote.", show_default=False)],
    *,
    to_topic: Annotated[str, typer.Option("--to-topic", metavar="TOPIC", help="An existing topic for the ticks.")],
    speed: Annotated[
        str, typer.Option("--speed", metavar="N|max", help="How many times as fast as received; max: without a pause.")
    ] = "1",
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Only frames received then or later: RFC 3339, or HH:MM in Seoul."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Only frames received before this time.")
    ] = None,
    dead_letters_to: Annotated[
        str | None,
        typer.Option(
            "--dead-letters-to",
            metavar="TOPIC",
            help="An existing topic for what cannot be decoded. Default: it is only counted.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Allow the topic of live ticks.")] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Send the ticks of a recording to a topic, with source = replay.

    Receive times, order and tick_id are those of the live ticks.
    The whole file is checked before anything is sent.
    An HH:MM is of the Seoul day of the recording's first frame.
    """
    rate = _rate(speed)
    settings = load_settings(context, config)
    require_tick_topic(settings, to_topic, is_allowed=yes)
    if dead_letters_to in (to_topic, settings.topics.ticks):
        raise RequestMalformed(f"--dead-letters-to {dead_letters_to} is a topic of ticks. Give another one.")
    progress = Progress()
    try:
        checked = _check(file, begin, end, progress)
        counts = asyncio.run(_send(settings, (to_topic, dead_letters_to), checked, rate, progress))
    finally:
        progress.end()
    report = _report(to_topic, checked.frames, counts)
    if as_json:
        print_json(report)
        return
    say(f"Sent to {to_topic}: {report['ticks']:,} ticks of {report['frames']:,} frames.")
    for reason, count in report["dead_letters"].items():
        place = "only counted" if dead_letters_to is None else f"in {dead_letters_to}"
        say(f"Dead letters with reason {reason}, {place}: {count:,}.")


def require_tick_topic(settings: Settings, topic: str, *, is_allowed: bool) -> None:
    """Raise RequestMalformed if ticks must not be sent to this topic."""
    names = settings.topics.names()
    if topic == names.pop("ticks"):
        if not is_allowed:
            raise RequestMalformed(
                f"{topic} is the topic of live ticks, and its readers would see every tick once more. "
                "Give another topic, or --yes if they deduplicate by tick_id."
            )
    elif topic in names.values():
        raise RequestMalformed(f"{topic} is a topic of other records. Give a topic for ticks.")


def _rate(speed: str) -> float:
    if speed == "max":
        return math.inf
    try:
        rate = float(speed)
    except ValueError:
        rate = math.nan
    if not 0.001 <= rate <= 1_000_000:
        raise RequestMalformed(f"--speed {speed[:40]!a} is neither max nor a number from 0.001 to 1,000,000.")
    return rate


@dataclass(frozen=True, slots=True)
class _Checked:
    """A sound recording, and the span of it to send."""

    file: Path
    wanted: Span
    frames: int


def _check(file: Path, begin: str | None, end: str | None, progress: Progress) -> _Checked:
    """Read the whole file. Raises RequestMalformed."""
    # Imported only here, so that `--help` is quick.
    from connector.shell import recordings

    wanted, count = Span(None, None), 0
    for number, frame in enumerate(recordings.frames(file)):
        if number == 0:
            try:
                wanted = span(begin, end, seoul_date(frame.received_ns))
            except ValueError as error:
                raise RequestMalformed(f"{error}.") from None
        count += frame.received_ns in wanted
        progress.show(f"{number + 1:,} frames checked")
    return _Checked(file, wanted, count)


async def _send(
    settings: Settings, topics: tuple[str, str | None], checked: _Checked, rate: float, progress: Progress
) -> Counts:
    from connector.app.replay import paced
    from connector.app.replay import replay as send

    return await send(
        settings,
        topics,
        paced(_wanted(checked), rate),
        lambda done: progress.show(f"{done:,} of {checked.frames:,} frames sent"),
    )


def _wanted(checked: _Checked) -> Iterator[Received]:
    from connector.shell import recordings

    return (frame for frame in recordings.frames(checked.file) if frame.received_ns in checked.wanted)


def _report(topic: str, frames: int, counts: Counts) -> dict[str, Any]:
    return {
        "topic": topic,
        "frames": frames,
        "ticks": counts.acknowledged,
        "dead_letters": dict(sorted(counts.dead_letters.items())),
    }
