"""One slot's feed: when to connect, with which approval key, and what others are told."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from websockets.exceptions import WebSocketException

from connector.core.kis.approval import Granted, Refused, Unavailable
from connector.core.kis.governor import ApprovalKeys, Governor, Waits
from connector.core.kis.registration import Pace
from connector.core.kis.session import Close, Session
from connector.core.slots.lease import Unshared
from connector.errors import ConfigurationError, CredentialsRefused
from connector.shell.kis.live import LiveSession, rest
from connector.shell.kis.socket import open_socket, why_not_open

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from connector.core.kis.approval import Answer, AppKey
    from connector.core.kis.governor import Cause
    from connector.core.kis.session import SlotView
    from connector.core.slots.lease import Permission
    from connector.settings import KisSettings
    from connector.shell.kis.live import FrameJournal
    from connector.shell.kis.socket import KisSocket

log = structlog.get_logger("connector.kis_feed")

T = TypeVar("T")

RELEASE_SECONDS: Final = 3.0
HOUR_SECONDS: Final = 3600.0


class KisFeed:
    """Runs slot `slot`. `on_change` is called whenever `view` may have changed, `on_event` with each event of the feed-events topic.

    `permission` is asked before each connection. `learnt` is the limit of registrations an earlier owner of the slot learnt, if any.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each argument is one neighbour, handed in because shell modules do not know one another
        self,
        slot: int,
        kis: KisSettings,
        read_credentials: Callable[[int], AppKey],
        journal: FrameJournal,
        on_change: Callable[[], None],
        on_event: Callable[[dict[str, Any]], None],
        *,
        request_approval_key: Callable[[AppKey], Awaitable[Answer]],
        permission: Permission | None = None,
        learnt: int | None = None,
    ) -> None:
        self.slot = slot
        self._kis = kis
        self._read_credentials = read_credentials
        self._journal = journal
        self._on_change = on_change
        self._on_event = on_event
        self._request_approval_key = request_approval_key
        self._permission = permission or Unshared()
        self._session = Session(slot, kis.customer_type, _pace(kis), Governor(_waits(kis), random.random), learnt)
        self._keys = ApprovalKeys(kis.approval_reuse_hours * HOUR_SECONDS)
        self._app_key: AppKey | None = None
        self._live: LiveSession | None = None
        self._last_end: tuple[Cause, str | None] | None = None
        self._frames_before = 0
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._finished: asyncio.Event | None = None
        self.refused: CredentialsRefused | None = None
        # Attempts to connect by why they were made: "start", or how the last session or attempt ended.
        self.connects: Counter[str] = Counter()

    # What others say and read.

    def want(self, isins: Sequence[str]) -> None:
        """Carry these bonds, the most important first."""
        self._session.want(isins, monotonic())
        self._nudge()

    def retry_rejected(self, isins: Iterable[str]) -> None:
        """Try these bonds again although KIS refused them: a new control record names them."""
        self._session.retry_rejected(isins)
        self._nudge()

    @property
    def wanted(self) -> Sequence[str]:
        """The bonds it should carry, the most important first."""
        return self._session.wanted

    @property
    def view(self) -> SlotView:
        """The slot as the status topic shows it."""
        return self._session.view

    @property
    def capacity(self) -> int:
        """Registrations the slot may carry; 0 while KIS refuses its app key for good."""
        return self._session.capacity

    @property
    def places(self) -> int:
        """Bonds the slot can be given: its capacity, and the refused ones, which take no room."""
        return self._session.places

    @property
    def session_up(self) -> bool:
        """Whether a connection is open."""
        return self._session.is_open

    @property
    def frames_received(self) -> int:
        """Frames handed to the journal."""
        return self._frames_before + (self._live.frames if self._live else 0)

    @property
    def unreadable(self) -> int:
        """JSON messages that could not be read."""
        return self._session.unreadable

    @property
    def unsolicited(self) -> int:
        """Replies that nothing was waiting for."""
        return self._session.unsolicited

    @property
    def connect_failures(self) -> int:
        """Attempts and sessions in a row that KIS did not prove alive by data or PINGPONG; the waits grow with them."""
        return self._session.failures

    @property
    def connect_wait_seconds(self) -> float:
        """Seconds until the next connection is permitted; 0 while one is open, or none is wanted."""
        due_at = None if self.session_up else self._due_at()
        return 0.0 if due_at is None else max(0.0, due_at - monotonic())

    @property
    def approval_key_age_seconds(self) -> float | None:
        """Seconds since KIS gave the approval key in use, None without one."""
        return self._keys.age(monotonic())

    def permission_changed(self) -> None:
        """Ask for permission anew."""
        self._nudge()

    async def stop(self, cause: Cause = "stop", *, release_seconds: float = RELEASE_SECONDS) -> None:
        """End `run` politely: release what can be released in that time at the usual pace, close, and journal what still comes in."""
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
        """Keep the session while anything is wanted, until `stop` or cancellation."""
        self._finished = asyncio.Event()
        try:
            while await self._is_due():
                await self._attempt()
        finally:
            self._finished.set()

    async def _is_due(self) -> bool:
        """Wait until a connection is wanted and permitted; False once the feed is to stop."""
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
        # An app key that was refused carries nothing, so nothing is wanted of it until it is tried again.
        if permitted_at is None or (not self._session.is_needed and not self._session.is_barred):
            return None
        if self._keys.usable(now) is not None:
            return max(permitted_at, self._session.may_connect_at)
        return max(permitted_at, self._session.may_connect_at, self._keys.next_issue_at)

    async def _attempt(self) -> None:
        approval_key = await self._unless_stopped(self._approval_key())
        if approval_key is None:
            return
        self._on_change()
        # The approval service may have taken its time.
        if not self._session.is_needed or (due_at := self._due_at()) is None or due_at > monotonic():
            return
        if (socket := await self._unless_stopped(self._open())) is not None:
            await self._live_on(socket, approval_key)

    async def _open(self) -> KisSocket | None:
        self.connects[self._last_end[0] if self._last_end else "start"] += 1
        try:
            return await open_socket(self._kis.websocket_url)
        except (OSError, WebSocketException) as error:
            self._down(Close("handshake", *why_not_open(error)), None)
            return None

    async def _live_on(self, socket: KisSocket, approval_key: str) -> None:
        opened_at = monotonic()
        self._session.opened(approval_key, opened_at, self._keys.expires_at)
        self._live = live = LiveSession(self._session, socket, self._journal, self._on_change, self._renew_key)
        end = Close("stop", None, "The feed was cancelled")
        self._tell("session_up", {})
        log.info("session_opened", slot=self.slot)
        self._on_change()
        try:
            end = await live.run()
        finally:
            self._live = None
            self._frames_before += live.frames
            if end.cause == "approval":
                self._keys.discard()
            self._down(end, monotonic() - opened_at)
            await socket.close()

    def _down(self, end: Close, connected_seconds: float | None) -> None:
        """Take in a session that ended (or never was); a row of like failures is one event."""
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
        self._on_change()

    def _tell(self, event: str, detail: dict[str, Any]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._on_event({"event": event, "at": at, "slot": self.slot, "instrument": None, "detail": detail})

    # Approval keys.

    async def _approval_key(self) -> str | None:
        try:
            app_key = self._current_app_key()
        except ConfigurationError as error:
            self._down(Close("approval", None, error.problems[0]), None)
            return None
        if (approval_key := self._keys.usable(monotonic())) is not None:
            return approval_key
        answer = await self._request_approval_key(app_key)
        match answer:
            case Granted(approval_key):
                self._granted(approval_key)
                return approval_key
            case Refused(code, message):
                self._refuse(code, message)
                self._down(Close("refused", code, message), None)
            case Unavailable(code, message):
                self._down(Close("approval", code, message), None)
        return None

    def _current_app_key(self) -> AppKey:
        """Read the pair anew; an unreadable one is replaced by the pair read before. Raises ConfigurationError if there is none."""
        try:
            app_key = self._read_credentials(self.slot)
        except ConfigurationError as error:
            if self._app_key is None:
                raise
            log.warning("credentials_unreadable", slot=self.slot, problems=error.problems, used="the pair read before")
            return self._app_key
        if self._app_key is not None and app_key != self._app_key:
            self._keys = ApprovalKeys(self._kis.approval_reuse_hours * HOUR_SECONDS)
        self._app_key = app_key
        return app_key

    def _granted(self, approval_key: str) -> None:
        self._keys.issued(approval_key, monotonic())
        self._session.permitted()
        self.refused = None

    def _refuse(self, code: str, message: str) -> None:
        self._keys.discard()  # a key that is kept would stand in the way of the question whether the app key counts again
        self.refused = CredentialsRefused(f"KIS refused the app key of slot {self.slot}: {code} {message}")

    async def _renew_key(self, wait: float) -> Close | None:
        """Get another approval key for the open session, however long that takes; return why it has to end instead."""
        due_at, pause = monotonic() + wait, self._kis.reconnect_min_seconds
        while self._app_key is not None:
            await asyncio.sleep(max(due_at, self._keys.next_issue_at) - monotonic())
            match await self._request_approval_key(self._app_key):
                case Granted(approval_key):
                    self._granted(approval_key)
                    self._session.key_reissued(approval_key, self._keys.expires_at)
                    break
                case Refused(code, message):
                    if not self.view.registered:
                        self._refuse(code, message)
                        return Close("refused", code, message)
                    pause = self._kis.reconnect_max_seconds
                case Unavailable(code, message):
                    pause = min(self._kis.reconnect_max_seconds, pause * 2)
            log.warning("approval_key_not_renewed", slot=self.slot, code=code, message=message, wait_seconds=pause)
            due_at = monotonic() + pause
        return None

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return the work's result, or None as soon as the feed is to stop."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
            stop.cancel()
            await asyncio.wait({task, stop})
        return None if task.cancelled() else task.result()


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
