"""`kis-bond simulate`: run the KIS simulator alone."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from connector.cli.options import MOST_SECONDS, MOST_TICKS
from connector.cli.output import OutputFailed, print_line, say_lines, to_json
from connector.errors import RequestMalformed
from simulator import Simulator, SimulatorSettings
from simulator.faults import FaultUnknownError, listing

EXAMPLES = """Examples:

  kis-bond simulate --rest-port 9443 --ws-port 21000 --rate 50

  kis-bond simulate --rate 1000 --sent-log sent.jsonl --fault malformed=20 --fault slow-replies=1 --json

  kis-bond simulate --capacity 3 --fault reply:KR103502GA34=OPSP8992 --fault close=1001@30
"""


def simulate(
    *,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    rest_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of the REST calls; 0 takes any.")
    ] = 0,
    ws_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of the WebSocket; 0 takes any.")
    ] = 0,
    rate: Annotated[
        float, typer.Option(min=0, max=MOST_TICKS, metavar="TICKS", help="Ticks per second over all sessions.")
    ] = 10.0,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="The same seed gives each bond the same trades.")] = 1,
    sent_log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append every data frame sent, as JSON lines.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="NAME[=VALUE]", help="Switch on a fault; --list-faults names them.")
    ] = None,
    capacity: Annotated[int, typer.Option(min=0, metavar="N", help="Registrations a session may hold.")] = 41,
    in_use: Annotated[
        Literal["refuse", "kick"], typer.Option(help="Which session loses when one app key is used twice.")
    ] = "refuse",
    linger: Annotated[
        float,
        typer.Option(
            min=0, max=MOST_SECONDS, metavar="SECONDS", help="How long the app key of a vanished client stays in use."
        ),
    ] = 0.0,
    ping: Annotated[
        Literal["lenient", "strict"], typer.Option(help="Whether protocol Ping and Pong end the session.")
    ] = "lenient",
    pingpong: Annotated[
        float,
        typer.Option(min=0.1, max=MOST_SECONDS, metavar="SECONDS", help="Time between keep-alives of an idle session."),
    ] = 10.0,
    pingpong_timeout: Annotated[
        float,
        typer.Option(min=0.1, max=MOST_SECONDS, metavar="SECONDS", help="Longest wait for the answer to a keep-alive."),
    ] = 100.0,
    approval_interval: Annotated[
        float,
        typer.Option(
            min=0, max=MOST_SECONDS, metavar="SECONDS", help="Shortest time between two approval keys; 0 for none."
        ),
    ] = 1.0,
    token_interval: Annotated[
        float,
        typer.Option(
            min=0, max=MOST_SECONDS, metavar="SECONDS", help="Shortest time between two calls for an access token."
        ),
    ] = 60.0,
    ccnl_depth: Annotated[
        int, typer.Option(min=0, max=1_000, metavar="N", help="How many latest trades inquire-ccnl returns.")
    ] = 30,
    error_shape: Annotated[Literal["gateway", "rt_cd"], typer.Option(help="Error body of the REST calls.")] = "gateway",
    as_json: Annotated[bool, typer.Option("--json", help="Print the URLs as one JSON object.")] = False,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="List the faults and exit.")] = False,
) -> None:
    """Play KIS: its REST calls, and the WebSocket feed of bonds.

    The REST calls are those for an approval key, an access token, a
    bond's volume (inquire-price) and its latest trades (inquire-ccnl).

    Trades (H0BJCNT0) come at --rate. Order books (H0BJASP0) and
    indices (H0BICNT0) come once a second to those who register them.

    Prints both URLs on one line once it listens. SIGTERM or Ctrl-C ends it with 0.
    Any app key is accepted.
    """
    if list_faults:
        say_lines(listing())
        return
    settings = SimulatorSettings(
        host=host,
        rest_port=rest_port,
        ws_port=ws_port,
        rate=rate,
        seed=seed,
        sent_log=sent_log,
        faults=tuple(fault or ()),
        capacity=capacity,
        in_use=in_use,
        linger_seconds=linger,
        ping=ping,
        pingpong_seconds=pingpong,
        pingpong_timeout_seconds=pingpong_timeout,
        approval_interval_seconds=approval_interval,
        token_interval_seconds=token_interval,
        ccnl_depth=ccnl_depth,
        error_shape=error_shape,
        keep_sent=False,
    )
    try:
        asyncio.run(_serve(settings, as_json=as_json))
    except FaultUnknownError as error:
        raise RequestMalformed(str(error)) from error
    except OutputFailed:
        raise
    except OSError as error:
        raise RequestMalformed(f"The simulator could not start: {error}") from error


async def _serve(settings: SimulatorSettings, *, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    async with Simulator(settings) as kis:
        urls = {"approval_url": kis.approval_url, "websocket_url": kis.websocket_url}
        print_line(to_json(urls) if as_json else " ".join(f"{name}={url}" for name, url in urls.items()))
        await stop.wait()
