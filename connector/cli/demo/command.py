"""The command `demo`: its options, its temporary files, and its exit code."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.demo import kafka
from connector.cli.demo.run import Outcome, RunOptions, run
from connector.cli.demo.view import summary
from connector.cli.options import MOST_SECONDS, MOST_TICKS
from connector.cli.output import console, print_json, say
from connector.errors import ConfigurationError, NotInTime, RequestMalformed
from simulator.faults import FaultUnknownError

if TYPE_CHECKING:
    from rich.console import Console

    from connector.cli.demo.ledger import Ledger

EXAMPLES = """Examples:

  kis-bond demo

  kis-bond demo --seconds 30 --rate 200 --json

  kis-bond demo --bootstrap-servers localhost:9092

  kis-bond demo --fault reply:KR103502GA34=OPSP8992
"""
DIFFERENCE = 1
INTERRUPTED = 130


def demo(
    *,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT,...",
            help="Use this Kafka, with topics created for this run, instead of the embedded broker.",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1, max=MOST_SECONDS, metavar="SECONDS", help="End this long after the first tick. Default: at Ctrl-C."
        ),
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0.1, max=MOST_TICKS, metavar="TICKS", help="Ticks per second over all bonds.")
    ] = 40.0,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="The same seed gives each bond the same trades.")] = 1,
    bonds: Annotated[
        int, typer.Option(min=1, max=kafka.MOST_BONDS, metavar="N", help="Bonds of the first list; a session holds 41.")
    ] = 12,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VALUE]",
            help="Switch on a fault of the simulated KIS; kis-bond simulate --list-faults names them.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object, the rest on stderr.")
    ] = False,
) -> None:
    """Show the connector at work with a simulated KIS and an embedded broker.

    Nothing has to be prepared, and no files remain. It ends with a summary, and with 1 unless an
    independent consumer read back every tick the simulator sent. With --fault, the summary counts
    what the fault did, and every tick must still be accounted for. --bootstrap-servers names a real
    Kafka, and KIS_BOND_KAFKA__* its other settings; each run creates its own topics there, and
    they stay.
    """
    kafka.require_client()
    screen = console(stderr=as_json)
    folder = Path(tempfile.mkdtemp(prefix="kis-bond-demo-"))
    keep_files = True
    try:
        options = RunOptions(bootstrap_servers, seconds, rate, seed, bonds, live=not as_json, faults=tuple(fault or ()))
        outcome = asyncio.run(run(options, folder, screen))
        _report(outcome, screen, as_json=as_json)
        keep_files = bool(outcome.differences)
    except (ConfigurationError, NotInTime):
        keep_files = False
        raise
    except FaultUnknownError as error:
        keep_files = False
        raise RequestMalformed(str(error)) from error
    except asyncio.CancelledError:
        keep_files = False
        raise typer.Exit(INTERRUPTED) from None
    finally:
        if keep_files:
            say(f"The connector's log and journal are in {folder}.", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(DIFFERENCE if outcome.differences else 0)


def _success(ledger: Ledger) -> str:
    if ledger.is_cut:
        return "Every tick was delivered and read back, or fetched from KIS's list of trades."
    return "Every tick sent was received, delivered and read back."


def _report(outcome: Outcome, screen: Console, *, as_json: bool) -> None:
    if as_json:
        figures = dataclasses.asdict(outcome.ledger) | {"lost": outcome.ledger.lost}
        print_json(figures | {"differences": outcome.differences, "topics": outcome.topics})
    else:
        for line in summary(outcome.ledger):
            screen.print(line)
        if not outcome.differences:
            screen.print(_success(outcome.ledger), style="green")
    for difference in outcome.differences:
        say(difference, err=True)
    for note in outcome.notes:
        say(note, err=as_json)
