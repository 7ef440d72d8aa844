"""One open connection: a reader that journals and echoes, and a driver that sends requests."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import structlog
from websockets.exceptions import ConnectionClosed

from connector.core.kis.effect import Close, Echo, Refused, ReissueKey, Send, Strange
from connector.core.kis.probe import Lost
from connector.core.kis.reply import Reply, is_control
from connector.core.ticks.frame import ENCRYPTED_PREFIX, Received
from connector.logs import hide_issued, peer_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from connector.core.cipher_key import CipherKey
    from connector.core.kis.effect import Effect
    from connector.core.kis.session import Session
    from connector.shell.kis.socket import KisSocket

log = structlog.get_logger("connector.kis_feed")

# A silent peer will hardly answer our close frame, so we wait only this long for its answer.
SILENT_CLOSE_SECONDS: Final = 0.5
SHORTEST_REST_SECONDS: Final = 0.001


class FrameJournal(Protocol):
    """What the reader needs of the journal."""

    @property
    def is_overdue(self) -> bool:
        """Whether the reader has to await `room`."""
        ...

    def append(self, frame: Received) -> None:
        """Append a frame without waiting."""

    async def room(self) -> None:
        """Wait while too many appended frames are uncommitted."""

    def keep_key(self, slot: int, session: int, key: CipherKey) -> None:
        """Save a cipher key of a session; call this for the newest key last."""


class LiveSession:
    """Runs one session until its connection has ended and every received frame is journalled."""

    def __init__(  # noqa: PLR0913, PLR0917 - the session, its two ends, and whom it reports to
        self,
        session: Session,
        socket: KisSocket,
        journal: FrameJournal,
        on_change: Callable[[], None],
        renew_key: Callable[[float], Awaitable[Close | None]],
        on_lost: Callable[[Lost], None],
    ) -> None:
        self._session = session
        self._socket = socket
        self._journal = journal
        self._on_change = on_change
        self._renew_key = renew_key
        self._on_lost = on_lost
        self._number = time_ns()
        self._heard_at = monotonic()
        self._orders: deque[Effect] = deque()
        self._ending: Close | None = None
        self._saved_keys: set[CipherKey] | None = None
        self._renewals: asyncio.Queue[float] = asyncio.Queue()
        self.wake = asyncio.Event()
        self.last_received_ns: int | None = None

    async def run(self) -> Close:
        """Return why the connection ended."""
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._drive(), name="kis-driver"),
                tasks.create_task(self._renew(), name="kis-key"),
            ]
            end = await self._read()
            for helper in helpers:
                helper.cancel()
        return end

    # The reader. Between two data frames it waits for the journal and for nothing else.

    async def _read(self) -> Close:
        try:
            await self._read_all()
        except ConnectionClosed as closed:
            return (
                self._ending or self._session.key_refusal or _why_closed(closed, self._session.last_words(monotonic()))
            )

    async def _read_all(self) -> NoReturn:
        receive, append, journal = self._socket.receive, self._journal.append, self._journal
        slot, session = self._session.slot, self._number
        proved = False
        while True:
            messages = await receive()
            self._heard_at = now = monotonic()
            for is_binary, raw in messages:
                if not raw.startswith(b"0|"):
                    if not is_binary and is_control(raw):
                        await self._read_control(raw, now)
                        continue
                    if self._saved_keys is None and raw.startswith(ENCRYPTED_PREFIX):
                        self._saved_keys = set()
                        self._save_keys()
                append(frame := Received(time_ns(), slot, session, is_binary, raw))
                self.last_received_ns = frame.received_ns
                if not proved:
                    proved = True
                    self._session.data_received(now)
                if journal.is_overdue:
                    await journal.room()

    async def _read_control(self, raw: bytes, now: float) -> None:
        # Other tasks get a turn between two replies, even if many replies wait to be read.
        await asyncio.sleep(0)
        effects = self._session.receive_control(raw.decode("utf-8", "replace"), now)
        match effects:
            case [Echo(text)]:
                if not await self._socket.send_at_once(text):
                    log.warning("pingpong_not_answered", slot=self._session.slot)
                return
        for effect in effects:
            self._log_or_order(effect)
        self._save_keys()
        self._on_change()
        self.wake.set()

    def _log_or_order(self, effect: Effect) -> None:
        match effect:
            case Refused(isin, code, message):
                log.warning(
                    "registration_refused", slot=self._session.slot, instrument=isin, code=code, message=message
                )
            case Lost():
                self._on_lost(effect)
            case Strange(why):
                log.warning("reply_unreadable", slot=self._session.slot, why=why)
            case _:
                self.order(effect)

    def _save_keys(self) -> None:
        """From the first encrypted frame on, journal each cipher key before frames that need it."""
        if self._saved_keys is None:
            return
        for key in self._session.cipher_keys:
            if key not in self._saved_keys:
                self._saved_keys.add(key)
                self._journal.keep_key(self._session.slot, self._number, key)

    # The driver.

    def order(self, effect: Effect) -> None:
        """Give the driver an order; the first Close says why the session ends."""
        if isinstance(effect, Close) and self._ending is None:
            self._ending = effect
        self._orders.append(effect)
        self.wake.set()

    async def _drive(self) -> None:
        while True:
            self._session.heard(self._heard_at)
            for effect in self._session.converge(monotonic()):
                self.order(effect)
            while self._orders:
                await self._obey(self._orders.popleft())
            self.wake.clear()
            await rest(self.wake, self._session.next_deadline(monotonic()))

    async def _obey(self, effect: Effect) -> None:
        match effect:
            case Send(text):
                # If the text could not be sent, the session asks again when the reply is overdue.
                await self._socket.send_at_once(text)
            case Close(cause):
                await self._close(SILENT_CLOSE_SECONDS if cause == "silence" else None)
            case ReissueKey(wait):
                self._renewals.put_nowait(wait)

    async def _close(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._socket.close()
        except TimeoutError:
            self._socket.transport.abort()

    async def _renew(self) -> None:
        """Get approval keys in a separate task, so that the driver never waits for the service."""
        while True:
            if (end := await self._renew_key(await self._renewals.get())) is not None:
                self.order(end)
            self._on_change()
            self.wake.set()


async def rest(wake: asyncio.Event, until: float | None) -> None:
    """Wait for the event, but at most until the monotonic time `until`."""
    try:
        async with asyncio.timeout(None if until is None else max(SHORTEST_REST_SECONDS, until - monotonic())):
            await wake.wait()
    except TimeoutError:
        return


def without_secrets(reply: Reply) -> Reply:
    """Return the reply with all secrets in its texts hidden, even the reply's own cipher key."""
    hide_issued(*(reply.cipher_key or ()), kind="cipher key")
    return replace(reply, msg_cd=peer_text(reply.msg_cd), msg1=peer_text(reply.msg1))


def _why_closed(closed: ConnectionClosed, last_words: Close | None) -> Close:
    """Return how a connection ended; KIS usually ends it without a close frame."""
    if closed.rcvd is not None:
        if last_words and not closed.rcvd.reason:
            return replace(last_words, cause="closed")
        return Close("closed", str(closed.rcvd.code), peer_text(closed.rcvd.reason) or None)
    if closed.sent is not None:
        return Close("reset", str(closed.sent.code), "The connection ended without a close frame")
    return last_words or Close("reset", None, "The connection ended without a close frame")
