"""One run of the demo: the parts started in order, shown, and ended in order."""

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

START_SECONDS = 60.0  # for the first tick to come
DRAIN_SECONDS = 20.0
REFRESH_SECONDS = 0.2
ENDING = (
    "Ending: what is under way is read back, then the bonds are released. Ctrl-C again ends at once, without a summary.",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line; `live` is whether a table may be drawn."""

    bootstrap_servers: str | None
    seconds: float | None
    rate: float
    seed: int
    bonds: int
    live: bool
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: its figures, what does not add up, the topics it used, and what the user should know."""

    ledger: Ledger
    differences: list[str]
    topics: dict[str, str]
    notes: list[str] = field(default_factory=list)


async def run(wanted: Wanted, folder: Path, console: Console) -> Outcome:
    """Run until the time is over or a signal comes; a second signal cancels. Files go into `folder`.

    Raises ConfigurationError, NotInTime (Kafka out of reach) and whatever ended the connector.
    """
    end = asyncio.Event()
    _end_on_signals(end)
    with contextlib.ExitStack() as stack:
        address = wanted.bootstrap_servers or stack.enter_context(kafka.embedded())
        async with Simulator(rate=wanted.rate, seed=wanted.seed, faults=wanted.faults, keep_sent=False) as kis:
            settings = configuration.load(None, _environment(wanted, address, folder, kis))
            stack.enter_context(_logging(settings.log, folder))
            if wanted.bootstrap_servers:
                await kafka.create_topics(settings)
            await kafka.write_first_list(settings, kafka.first_bonds(wanted.bonds))
            with Reader(settings.kafka, settings.topics.ticks, TickSchema(bond_tick())) as reader:
                async with running(settings, kis, reader) as pipeline:
                    _end_on_signals(end)
                    told = hints.of(settings, folder, pipeline.port, own_topics=wanted.bootstrap_servers is not None)
                    with screen_for(console, told, live=wanted.live) as screen:
                        await _show(pipeline, reader, screen, end, wanted.seconds)
                        screen.hints = ENDING
                        await _end(pipeline, reader, screen)
                        ledger, differences = pipeline.ledger(), _differences(pipeline)
    notes = hints.left_behind(settings) if wanted.bootstrap_servers else []
    return Outcome(ledger, differences, settings.topics.model_dump(), notes)


async def _show(pipeline: Pipeline, reader: Reader, screen: Screen, end: asyncio.Event, seconds: float | None) -> None:
    """Show the run until a signal, the connector's end, or so many seconds after the first tick."""
    loop = asyncio.get_running_loop()
    has_begun, deadline = False, loop.time() + START_SECONDS
    while not end.is_set() and not pipeline.has_ended and (seconds is None or loop.time() < deadline):
        await pipeline.greet()
        if not has_begun and pipeline.ledger().sent:
            has_begun, deadline = True, loop.time() + (seconds or 0)
        await screen.show(pipeline, reader)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(end.wait(), REFRESH_SECONDS)


async def _end(pipeline: Pipeline, reader: Reader, screen: Screen) -> None:
    """End the run, and show meanwhile what becomes of it."""
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
    """Take the signals that end a program, in place of whoever took them before."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def told() -> None:
        if end.is_set() and task:
            task.cancel()
        end.set()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        with contextlib.suppress(
            NotImplementedError, ValueError, RuntimeError, AttributeError
        ):  # only the main thread takes signals
            loop.add_signal_handler(getattr(signal, name), told)


def _environment(wanted: Wanted, address: str, folder: Path, kis: Simulator) -> Mapping[str, str]:
    """Return the variables of the connector's settings; of the user's own only those about Kafka count, and only for a real one."""
    own = (
        {name: value for name, value in os.environ.items() if name.startswith("KIS_BOND_KAFKA__")}
        if wanted.bootstrap_servers
        else {}
    )
    topics = kafka.own_topics(datetime.now(UTC)) if wanted.bootstrap_servers else {}
    given: dict[str, Any] = {
        "KIS__APPROVAL_URL": kis.approval_url,
        "KIS__WEBSOCKET_URL": kis.websocket_url,
        "KIS__APPKEY": "demonstration-appkey",
        "KIS__APPSECRET": "demonstration-appsecret",
        "KAFKA__BOOTSTRAP_SERVERS": address,
        "JOURNAL__PATH": folder / "journal" / "journal.db",
        "HTTP__PORT": 0,
        **{f"TOPICS__{part.upper()}": name for part, name in topics.items()},
    }
    return own | {f"KIS_BOND_{name}": str(value) for name, value in given.items()}


@contextlib.contextmanager
def _logging(log: LogSettings, folder: Path) -> Iterator[None]:
    """Send the logs into a file, away from the table."""
    with (folder / "connector.log").open("w", encoding="utf-8", buffering=1) as file:

        def write(text: str) -> None:
            file.write(text)

        handler = logs.configure(log, write)
        try:
            yield
        finally:
            handler.close()
