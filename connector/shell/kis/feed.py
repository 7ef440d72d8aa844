"""One slot's feed: when it connects, and what it reports."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from websockets.exceptions import WebSocketException

from connector.core.event import Event
from connector.core.kis.approval import Granted, Refused, Unavailable
from connector.core.kis.backoff import Backoff, Waits
from connector.core.kis.effect import Close
from connector.core.kis.pace import Pace
from connector.core.kis.probe import Probe
from connector.core.kis.session import Session
from connector.shell.kis.key_supply import KeySupply
from connector.shell.kis.live import LiveSession, rest, without_secrets
from connector.shell.kis.socket import open_socket, why_not_open
from connector.shell.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from connector.core.event import Kind
    from connector.core.kis.approval import Answer, AppKey
    from connector.core.kis.backoff import Cause
    from connector.core.kis.probe import Lost
    from connector.core.kis.slot_view import SlotView
    from connector.core.slots.lease import Lease
    from connector.errors import CredentialsRefused
    from connector.settings import KisSettings
    from connector.shell.kis.live import FrameJournal
    from connector.shell.kis.socket import KisSocket

log = structlog.get_logger("connector.kis_feed")

T = TypeVar("T")

RELEASE_SECONDS: Final = 3.0


class KisFeed:
    """Runs one slot.

    The feed calls `on_change` when `view` may have changed. It calls `on_event` with each event for
    the feed-events topic. It asks `permission` before each connection. `learned_limit` is the limit
    of registrations that an earlier owner of the slot learned, if any. `last_tick_ns` returns when
    a bond's latest tick was received (ns since 1970), if any was.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each argument is a neighbour from another package of shell
        self,
        slot: int,
        kis: KisSettings,
        read_credentials: Callable[[int], AppKey],
        journal: FrameJournal,
        on_change: Callable[[], None],
        on_event: Callable[[Event], None],
        *,
        request_approval_key: Callable[[AppKey], Awaitable[Answer]],
        permission: Lease,
        learned_limit: int | None = None,
        taken_over: bool = False,
        last_tick_ns: Callable[[str], int | None] = lambda _: None,
        is_market_open: Callable[[], bool] = lambda: False,
    ) -> None:
        self.slot = slot
        self._kis = kis
        self._journal = journal
        self._on_change = on_change
        self._on_event = on_event
        self._permission = permission
        backoff = Backoff(_waits(kis), random.random, taken_over=taken_over)
        self._probe = Probe(kis.probe_seconds, is_market_open, partial(_last_tick_at, last_tick_ns))
        self._is_probe_end_logged = self._is_slowing_logged = False
        self._session = Session(
            slot,
            kis.customer_type,
            _pace(kis),
            backoff,
            clean=without_secrets,
            learned_limit=learned_limit,
            probe=self._probe,
        )
        self._key_supply = KeySupply(self._session, kis, read_credentials, request_approval_key)
        self._live: LiveSession | None = None
        self._last_end: tuple[Cause, str | None] | None = None
        self._received_before_ns: int | None = None
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._finished: asyncio.Event | None = None
        # Attempts to connect, counted by reason: "start", or how the last session or attempt ended.
        self.connects: Counter[str] = Counter()

    # What others ask and read.

    def want(self, isins: Sequence[str]) -> None:
        """Carry these bonds, the most important first."""
        self._session.want(isins, monotonic())
        self._nudge()

    def retry_rejected(self, isins: Iterable[str]) -> None:
        """Try these bonds again if KIS refused them: a new control record names them."""
        self._session.retry_rejected(isins)
        self._nudge()

    @property
    def wanted(self) -> Sequence[str]:
        """The bonds the slot should carry, the most important first."""
        return self._session.wanted

    @property
    def view(self) -> SlotView:
        """The slot as the status topic shows it."""
        return self._session.view

    @property
    def capacity(self) -> int:
        """How many registrations the slot may hold; 0 if KIS refused its app key for good."""
        return self._session.capacity

    @property
    def session_up(self) -> bool:
        """Whether a connection is open."""
        return self._session.is_open

    @property
    def last_tick_seconds(self) -> float | None:
        """When the slot's latest data frame was received, in seconds since 1970, if any was."""
        live_ns = self._live.last_received_ns if self._live else None
        received_ns = live_ns or self._received_before_ns
        return None if received_ns is None else received_ns / 1e9

    @property
    def unreadable(self) -> int:
        """How many JSON messages could not be read."""
        return self._session.unreadable

    @property
    def unsolicited(self) -> int:
        """How many replies arrived that we were not waiting for."""
        return self._session.unsolicited

    @property
    def is_slowed(self) -> bool:
        """Whether requests go out one by one, because so many failed within an hour."""
        return self._session.is_slowed(monotonic())

    @property
    def connect_failures(self) -> int:
        """How many attempts and sessions failed since data or a PINGPONG last arrived."""
        return self._session.failures

    @property
    def connect_wait_seconds(self) -> float:
        """Seconds until the next connection may open; 0 while one is open or none is wanted."""
        due_at = None if self.session_up else self._due_at()
        return 0.0 if due_at is None else max(0.0, due_at - monotonic())

    @property
    def approval_key_age_seconds(self) -> float | None:
        """Seconds since KIS issued the approval key in use, or None if no key is in use."""
        return self._key_supply.keys.age(monotonic())

    @property
    def refused(self) -> CredentialsRefused | None:
        """Why KIS refused the app key for good, or None while KIS accepts the app key."""
        return self._key_supply.refused

    def permission_changed(self) -> None:
        """Ask `permission` again, because its answer may have changed."""
        self._nudge()

    async def stop(self, cause: Cause = "stop", *, release_seconds: float = RELEASE_SECONDS) -> None:
        """Release the bonds, close the connection, and journal the frames that still arrive.

        The releases may take at most `release_seconds`.
        """
        self._session.leave(cause, monotonic() + release_seconds)
        self._stopping.set()
        self._nudge()
        if self._finished is not None:
            await self._finished.wait()

    def _nudge(self) -> None:
        self._wake.set()
        if self._live is not None:
            self._live.wake.set()

    # The slot's life.

    async def run(self) -> None:
        """Keep a session open while any bond is wanted, until `stop` or cancellation."""
        self._finished = asyncio.Event()
        try:
            while await self._is_due():
                await self._attempt()
        finally:
            self._finished.set()

    async def _is_due(self) -> bool:
        """Wait until a connection is wanted and permitted; return False if the feed has to stop."""
        while not self._stopping.is_set():
            self._wake.clear()
            due_at = self._due_at()
            if due_at is not None and due_at <= monotonic():
                return True
            await rest(self._wake, due_at)
        return False

    def _due_at(self) -> float | None:
        now = monotonic()
        permitted_at = self._permission.may_connect_at(self.slot, now)
        # A slot with a refused app key gets no bonds, but we still ask if KIS accepts the app key.
        if permitted_at is None or (not self._session.is_needed and not self._session.is_barred):
            return None
        if self._key_supply.keys.usable(now) is not None:
            return max(permitted_at, self._session.may_connect_at)
        return max(permitted_at, self._session.may_connect_at, self._key_supply.keys.next_issue_at)

    async def _attempt(self) -> None:
        match await self._unless_stopped(self._key_supply.key()):
            case Granted(approval_key):
                await self._connect(approval_key)
            case Refused(code, message):
                self._down(Close("refused", code, message), None)
            case Unavailable(code, message):
                self._down(Close("approval", code, message), None)

    async def _connect(self, approval_key: str) -> None:
        self._on_change()
        # While we waited for the approval service, the wish or the permission may have changed.
        if not self._session.is_needed or (due_at := self._due_at()) is None or due_at > monotonic():
            return
        if (socket := await self._unless_stopped(self._open())) is not None:
            await self._live_on(socket, approval_key)

    async def _open(self) -> KisSocket | None:
        self.connects[self._last_end[0] if self._last_end else "start"] += 1
        try:
            return await open_socket(self._kis.websocket_url, Proxy.of(self._kis))
        except (OSError, WebSocketException) as error:
            code, message = await why_not_open(error, self._kis.websocket_url)
            self._down(Close("handshake", code, message), None)
            return None

    async def _live_on(self, socket: KisSocket, approval_key: str) -> None:
        opened_at = monotonic()
        self._session.opened(approval_key, opened_at, self._key_supply.keys.expires_at)
        self._live = live = LiveSession(
            self._session, socket, self._journal, self._session_changed, self._key_supply.renew, self._lost
        )
        end = Close("stop", None, "The feed was cancelled")
        self._tell("session_up", {})
        log.info("session_opened", slot=self.slot)
        self._on_change()
        try:
            end = await live.run()
        finally:
            self._live = None
            self._received_before_ns = live.last_received_ns or self._received_before_ns
            if end.cause == "approval":
                self._key_supply.keys.discard()
            self._down(end, monotonic() - opened_at)
            await socket.close()

    def _down(self, end: Close, connected_seconds: float | None) -> None:
        """Record how a session ended or failed to open; report equal failures in a row once."""
        now = monotonic()
        self._session.closed(end.cause, end.code, end.message, now)
        self._permission.record_end(self.slot, end.cause, connected_seconds, now)
        if connected_seconds is not None or self._last_end != (end.cause, end.code):
            detail = {
                "cause": end.cause,
                "code": end.code,
                "message": end.message,
                "connected_seconds": round(connected_seconds or 0, 3),
            }
            self._tell("session_down", detail)
        self._last_end = (end.cause, end.code)
        write = log.info if end.cause in ("stop", "lease") else log.warning
        wait = round(self._session.may_connect_at - now, 3)
        write("session_closed", slot=self.slot, cause=end.cause, code=end.code, message=end.message, wait_seconds=wait)
        self._session_changed()

    def _session_changed(self) -> None:
        if self._probe.stopped and not self._is_probe_end_logged:
            self._is_probe_end_logged = True
            log.warning("probing_stopped", slot=self.slot, why=self._probe.stopped, until="a restart")
        was_logged, self._is_slowing_logged = self._is_slowing_logged, self.is_slowed
        if self._is_slowing_logged and not was_logged:
            log.warning("requests_slowed", slot=self.slot)
        self._on_change()

    def _lost(self, lost: Lost) -> None:
        """Report that KIS had forgotten a registration."""
        silent_seconds = round(lost.silent_seconds, 3)
        log.warning("registration_lost", slot=self.slot, instrument=lost.isin, silent_seconds=silent_seconds)
        self._tell("registration_lost", {"silent_seconds": silent_seconds}, lost.isin)

    def _tell(self, event: Kind, detail: dict[str, Any], isin: str | None = None) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._on_event(Event(event, at, self.slot, isin, detail))

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return the result of `work`, or None as soon as the feed has to stop."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
            stop.cancel()
            await asyncio.wait({task, stop})
        return None if task.cancelled() else task.result()


def _last_tick_at(last_tick_ns: Callable[[str], int | None], isin: str) -> float | None:
    """Return the monotonic time at which a bond's latest tick was received."""
    received_ns = last_tick_ns(isin)
    return None if received_ns is None else monotonic() - (time_ns() - received_ns) / 1e9


def _pace(kis: KisSettings) -> Pace:
    return Pace(
        register_interval=kis.register_interval_seconds,
        reply_timeout=kis.reply_timeout_seconds,
        session_capacity=kis.session_capacity,
        retry_min=kis.reconnect_min_seconds,
        retry_max=kis.reconnect_max_seconds,
    )


def _waits(kis: KisSettings) -> Waits:
    return Waits(
        reconnect_min=kis.reconnect_min_seconds,
        reconnect_max=kis.reconnect_max_seconds,
        in_use_wait=kis.in_use_wait_seconds,
        in_use_wait_max=kis.in_use_wait_max_seconds,
        silence_timeout=kis.silence_timeout_seconds,
    )
