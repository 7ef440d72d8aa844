"""One run of the demo: starts the parts in order, shows them, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from connector import logs
from connector import settings as configuration
from connector.cli.demo import hints, kafka
from connector.cli.demo.pipeline import running
from connector.cli.demo.reader import Reader
from connector.cli.demo.screen import screen_for
from connector.core.ticks.avro import TickSchema
from connector.packaged_files import bond_tick
from simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

    from connector.cli.demo.ledger import Ledger
    from connector.cli.demo.pipeline import Pipeline
    from connector.cli.demo.screen import Screen
    from connector.settings import LogSettings

START_SECONDS = 60.0  # for the first tick to arrive
DRAIN_SECONDS = 20.0
REFRESH_SECONDS = 0.2
LISTED_TRADES = 1_000  # of each bond in the list from which holes are filled; of KIS no number is known
ENDING = (
    "Ending: ticks under way are read back, then the bonds are released. Ctrl-C again ends at once, without a summary.",
)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of the command line; `live` is whether a table may be drawn."""

    bootstrap_servers: str | None
    seconds: float | None
    rate: float
    seed: int
    bonds: int
    live: bool
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: its figures, what does not add up, its topics, and notes for the user."""

    ledger: Ledger
    differences: list[str]
    topics: dict[str, str]
    notes: list[str] = field(default_factory=list)


async def run(options: RunOptions, folder: Path, console: Console) -> Outcome:
    """Run until the time is over or a signal arrives; a second signal cancels.

    Files go into `folder`. Raises ConfigurationError, NotInTime (Kafka cannot be reached) and
    whatever ended the connector.
    """
    end = asyncio.Event()
    _end_on_signals(end)
    with contextlib.ExitStack() as stack:
        address = options.bootstrap_servers or stack.enter_context(kafka.embedded())
        async with Simulator(
            rate=options.rate, seed=options.seed, faults=options.faults, keep_sent=False, ccnl_depth=LISTED_TRADES
        ) as kis:
            settings = configuration.load(None, _environment(options, address, folder, kis))
            stack.enter_context(_logging(settings.log, folder))
            if options.bootstrap_servers:
                await kafka.create_topics(settings)
            await kafka.write_first_list(settings, kafka.first_bonds(options.bonds))
            with Reader(settings.kafka, settings.topics.ticks, TickSchema(bond_tick())) as reader:
                async with running(settings, kis, reader) as pipeline:
                    _end_on_signals(end)
                    lines = hints.of(settings, folder, pipeline.port)
                    with screen_for(console, lines, live=options.live) as screen:
                        await _show(pipeline, reader, screen, end, options.seconds)
                        screen.hints = ENDING
                        await _end(pipeline, reader, screen)
                        ledger, differences = pipeline.ledger(), _differences(pipeline)
    notes = hints.remaining_topics(settings) if options.bootstrap_servers else []
    return Outcome(ledger, differences, settings.topics.names(), notes)


async def _show(pipeline: Pipeline, reader: Reader, screen: Screen, end: asyncio.Event, seconds: float | None) -> None:
    """Show the run until a signal, the connector's end, or `seconds` after the first tick."""
    loop = asyncio.get_running_loop()
    has_begun, deadline = False, loop.time() + START_SECONDS
    while not end.is_set() and not pipeline.has_ended and (seconds is None or loop.time() < deadline):
        await pipeline.trade_new_bonds()
        if not has_begun and pipeline.ledger().sent:
            has_begun, deadline = True, loop.time() + (seconds or 0)
        await screen.show(pipeline, reader)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(end.wait(), REFRESH_SECONDS)


async def _end(pipeline: Pipeline, reader: Reader, screen: Screen) -> None:
    """End the run, and go on showing it until it has ended."""
    ending = asyncio.create_task(pipeline.end(DRAIN_SECONDS), name="ending")
    try:
        while not ending.done():
            await screen.show(pipeline, reader)
            await asyncio.wait({ending}, timeout=REFRESH_SECONDS)
        await ending
    finally:
        ending.cancel()


def _differences(pipeline: Pipeline) -> list[str]:
    ledger = pipeline.ledger()
    differences = ledger.differences()
    if ledger.sent == 0:
        differences.append("The simulator sent nothing: the connector registered no bond in time.")
    return [*differences, f"{pipeline.trouble}."] if differences and pipeline.trouble else differences


def _end_on_signals(end: asyncio.Event) -> None:
    """Handle the signals that end a program, replacing any earlier handler."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        if end.is_set() and task:
            task.cancel()
        end.set()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        with contextlib.suppress(
            NotImplementedError, ValueError, RuntimeError, AttributeError
        ):  # only the main thread can handle signals
            loop.add_signal_handler(getattr(signal, name), on_signal)


def _environment(options: RunOptions, address: str, folder: Path, kis: Simulator) -> Mapping[str, str]:
    """Return the variables of the connector's settings.

    Of the user's own variables only those about Kafka count, and only with a real Kafka.
    """
    own = (
        {name: value for name, value in os.environ.items() if name.startswith("KIS_BOND_KAFKA")}
        if options.bootstrap_servers
        else {}
    )
    topics = kafka.own_topics(datetime.now(UTC)) if options.bootstrap_servers else {}
    rest_keys = folder / "rest-keys"
    rest_keys.mkdir()
    for part in ("appkey", "appsecret"):
        (rest_keys / f"{part}-0").write_text(f"demonstration-{part}", encoding="utf-8")
    given: dict[str, Any] = {
        "KIS__APPROVAL_URL": kis.approval_url,
        "KIS__WEBSOCKET_URL": kis.websocket_url,
        "KIS__APPKEY": "demonstration-appkey",
        "KIS__APPSECRET": "demonstration-appsecret",
        "KAFKA__BOOTSTRAP_SERVERS": address,
        "JOURNAL__PATH": folder / "journal",
        "HTTP__PORT": 0,
        "AUDIT__CREDENTIALS_DIR": rest_keys,
        "AUDIT__REST_URL": kis.rest_url,
        "AUDIT__TOKEN_PATH": folder / "token.json",
        "AUDIT__HTTP_PORT": 0,
        "AUDIT__GAP_WAIT_SECONDS": 1,
        "AUDIT__REST_PER_SECOND": 15,
        "AUDIT__BACKFILL": "true",
        **{f"TOPICS__{part.upper()}": name for part, name in topics.items()},
    }
    return own | {f"KIS_BOND_{name}": str(value) for name, value in given.items()}


@contextlib.contextmanager
def _logging(log: LogSettings, folder: Path) -> Iterator[None]:
    """Write the logs to a file, so that they do not disturb the table."""
    with (folder / "connector.log").open("w", encoding="utf-8", buffering=1) as file:

        def write(text: str) -> None:
            file.write(text)

        handler = logs.configure(log, write)
        try:
            yield
        finally:
            handler.close()
