"""The simulated KIS as one object: start it, inspect it, disturb it."""

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from simulator.app_keys import AppKeys
from simulator.approval import ApprovalCall, Approvals, Asked
from simulator.exchange import Answered, Connect, Exchange
from simulator.faults import Faults
from simulator.feed import Feed
from simulator.market import seoul
from simulator.quotations import Inquiry, Quotations
from simulator.sent_log import Sent, SentLog
from simulator.session import Session
from simulator.settings import SimulatorSettings
from simulator.siblings import SiblingFeed
from simulator.stats import Stats
from simulator.token import TokenCall

TICK_SECONDS = 0.05
DROP_SECONDS = 5.0
GOODBYE_SECONDS = 1.0


class Simulator:
    """`async with Simulator(rate=100) as kis:` serves until the block ends.

    The keywords are the fields of `SimulatorSettings`.
    """

    def __init__(self, settings: SimulatorSettings | None = None, **fields: Any) -> None:
        self.settings = settings or SimulatorSettings(**fields)
        self.faults = Faults(self.settings.faults)
        self.stats = Stats()
        app_keys = AppKeys(self.settings.app_keys)
        self._approvals = Approvals(self.settings, app_keys)
        self._call = ApprovalCall(self.settings, self._approvals, self.faults, time.time)
        self._token_call = TokenCall(self.settings, app_keys, time.time)
        self._exchange = Exchange(self.settings, self._approvals, self.faults, self.stats)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._rest_port, self._ws_port = self.settings.rest_port, self.settings.ws_port
        self._log = SentLog(keep=self.settings.keep_sent)
        self._feed = Feed(self.settings, self._exchange, self.faults, self._log, self.stats)
        self._quotations = Quotations(self.settings, app_keys, self._token_call, self._feed.market, self.faults)
        self._siblings = SiblingFeed(self.settings, self._exchange, self._feed, self._log)

    @property
    def approval_url(self) -> str:
        """The URL that issues approval keys, known once the simulator has started."""
        return f"{self.rest_url}/oauth2/Approval"

    @property
    def rest_url(self) -> str:
        """The address of all REST calls, known once the simulator has started."""
        return f"http://{self._shown_host}:{self._rest_port}"

    @property
    def websocket_url(self) -> str:
        """The URL that opens sessions, known once the simulator has started."""
        return f"ws://{self._shown_host}:{self._ws_port}"

    @property
    def _shown_host(self) -> str:
        return "127.0.0.1" if self.settings.host in {"0.0.0.0", "::", ""} else self.settings.host  # noqa: S104 - compared with, not bound to

    @property
    def sessions(self) -> list[Session]:
        """The open sessions, oldest first."""
        return self._exchange.sessions

    @property
    def connects(self) -> list[Connect]:
        """Every TCP connection so far."""
        return self._exchange.connects

    @property
    def replies(self) -> list[Answered]:
        """Every request so far, with its answer."""
        return self._exchange.answers

    @property
    def approvals(self) -> list[Asked]:
        """Every approval call so far."""
        return self._call.asked

    @property
    def inquiries(self) -> list[Inquiry]:
        """Every quotation call so far, or nothing if `keep_sent` is off."""
        return self._quotations.inquiries

    @property
    def tokens_issued(self) -> int:
        """How many different access tokens were issued."""
        return self._token_call.issued

    @property
    def sent(self) -> list[Sent]:
        """Every data frame sent so far, or nothing if `keep_sent` is off."""
        return self._log.sent

    @property
    def rate(self) -> float:
        """Ticks per second over all sessions."""
        return self._feed.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._feed.rate = rate

    @property
    def ticks_per_frame(self) -> int:
        """The most ticks that the feed puts into a frame."""
        return self._feed.batch

    async def __aenter__(self) -> Self:
        self._log.open(self.settings.sent_log)
        try:
            await self._serve_rest()
            await self.listen()
        except BaseException:
            await self._stop()
            raise
        self._tasks = [
            asyncio.create_task(self._keep_time()),
            asyncio.create_task(self._feed.run()),
            asyncio.create_task(self._siblings.run()),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def listen(self) -> None:
        """Accept WebSocket connections. After `refuse`, this uses the same port again."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._exchange.accept, self.settings.host, self._ws_port)
        self._ws_port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Stop accepting WebSocket connections. Open sessions stay open."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def emit(self, raw: str | bytes, app_key: int = 0, *, binary: bool = False) -> None:
        """Send one frame with exactly these bytes, as text unless `binary` is true.

        Raises LookupError if the app key has no open session.
        """
        _, connection = self._exchange.find(app_key)
        self._feed.emit(raw.encode() if isinstance(raw, str) else raw, app_key, binary=binary)
        await connection.flowing()

    async def emit_ticks(self, isin: str, n: int = 1, per_frame: int = 1) -> list[str]:
        """Send `n` trades of `isin` to the sessions that registered it, and return their records.

        Raises LookupError if no session registered it.
        """
        return await self._feed.emit_ticks(isin, n, per_frame)

    async def drop(self, app_key: int = 0, how: str = "no-close-frame") -> None:
        """End an app key's session, and return once its connection has ended.

        `how` is `no-close-frame`, `abrupt` (RST) or `close=CODE`. What was written before reaches
        the client, also before an RST. Raises LookupError if the app key has no open session, and
        ValueError for another `how`.
        """
        _, connection = self._exchange.find(app_key)
        match how.partition("="):
            case ("no-close-frame", "", ""):
                connection.cut()
            case ("abrupt", "", ""):
                await connection.received()
                connection.reset()
            case ("close", "=", code) if code.isdecimal():
                connection.close(int(code), self._exchange.reason)
            case _:
                raise ValueError(f"A session ends by no-close-frame, abrupt or close=CODE, not by {how!r}")
        async with asyncio.timeout(DROP_SECONDS):
            await connection.lost.wait()

    def expire_approvals(self) -> None:
        """Make every approval key issued so far invalid. As with KIS, open sessions stay open."""
        self._approvals.expire()

    def expire_tokens(self) -> None:
        """End every access token issued so far."""
        self._token_call.expire()

    def accumulated(self, isin: str) -> int:
        """Return the volume of `isin` that traded today in the market, heard or not."""
        now = self.settings.clock()
        return self._feed.market.trading(isin, now).accumulated(seoul(now)[0])

    async def _serve_rest(self) -> None:
        application = web.Application()
        application.router.add_post("/oauth2/Approval", self._call.handle)
        application.router.add_post("/oauth2/tokenP", self._token_call.handle)
        self._quotations.add_to(application)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self._rest_port)
        await site.start()
        self._rest_port = self._runner.addresses[0][1]

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(min(TICK_SECONDS, self.settings.pingpong_seconds / 4))
            self._exchange.tick()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.refuse()
        await self._say_goodbye()
        if self._runner is not None:
            await self._runner.cleanup()
        self._log.close()

    async def _say_goodbye(self) -> None:
        """End every connection once its data is sent. Reset it if its client reads nothing."""
        connections = self._exchange.connections
        for connection in connections:
            connection.cut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                for connection in connections:
                    await connection.lost.wait()
        for connection in connections:
            connection.reset()
            await connection.lost.wait()
