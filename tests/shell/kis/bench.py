"""A feed on a test bench: the journal and the events are lists, and tests wait for conditions."""

import asyncio
import contextlib

from connector.core.kis.approval import Granted
from connector.core.slots.lease import FOREVER, Lease
from connector.settings import KisSettings
from connector.shell.kis import KisFeed
from connector.shell.kis.approval import ApprovalService
from connector.shell.kis.credentials import AppKey

A, B, C = "KR103502GA34", "KR103502GD31", "KR6000000001"


class ListJournal:
    """A journal that lists keys and frames in order; `is_overdue` makes the reader wait."""

    def __init__(self):
        self.is_overdue = False
        self.log = []
        self.gate = asyncio.Event()
        self.gate.set()

    def append(self, frame):
        self.log.append(frame)

    async def room(self):
        await self.gate.wait()

    def keep_key(self, slot, session, key):
        self.log.append((slot, session, key))

    @property
    def frames(self):
        return [entry for entry in self.log if hasattr(entry, "raw")]

    @property
    def raw(self):
        return [frame.raw for frame in self.frames]


class Bench:
    """One feed against a simulator, or against any WebSocket URL."""

    is_market_open = True

    def __init__(self, kis=None, *, url=None, approve=None, credentials=None, **settings):
        self.journal = ListJournal()
        self.events = []
        self.changes = 0
        self.ticked_ns = {}
        fast = {
            "register_interval_seconds": 0.01,
            "reconnect_min_seconds": 0.05,
            "reconnect_max_seconds": 0.4,
            "in_use_wait_seconds": 0.3,
        }
        urls = {
            "websocket_url": url or kis.websocket_url,
            "approval_url": kis.approval_url if kis else "http://127.0.0.1:9/",
        }
        self.settings = KisSettings(**(fast | urls | settings))
        lease = Lease(FOREVER, FOREVER, 0.0)
        lease.assign([0], 0.0)
        self.feed = KisFeed(
            0,
            self.settings,
            credentials or (lambda slot: AppKey(f"appkey{slot}", "secret")),
            self.journal,
            self._changed,
            lambda event: self.events.append(event.to_json()),
            request_approval_key=approve
            or (ApprovalService(self.settings.approval_url).request if kis else self._grant),
            permission=lease,
            last_tick_ns=self.ticked_ns.get,
            is_market_open=lambda: self.is_market_open,
        )

    def _changed(self):
        self.changes += 1

    async def _grant(self, _):
        return Granted("approval-canary")

    @contextlib.asynccontextmanager
    async def running(self, *isins):
        self.feed.want(isins)
        task = asyncio.create_task(self.feed.run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def state(self, isin):
        seen = self.feed.view.registrations.get(isin)
        return seen and seen.state

    async def active(self, *isins):
        await until(lambda: all(self.state(isin) == "ACTIVE" for isin in isins), lambda: self.feed.view)

    def downs(self):
        return [event["detail"]["cause"] for event in self.events if event["event"] == "session_down"]


async def until(condition, shown=lambda: None, seconds=60):
    """Wait for a condition, with a deadline."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not in {seconds} s: {shown()}") from None
