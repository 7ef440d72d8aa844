"""All sessions of the simulated KIS. An app key has one session with a limit of registrations."""

import asyncio
import time
from dataclasses import dataclass

from simulator import codes, reply
from simulator.approval import Approvals
from simulator.connection import Connection
from simulator.faults import Faults
from simulator.request import Misshapen, Request, is_pingpong, parse
from simulator.session import Session
from simulator.settings import SimulatorSettings
from simulator.stats import Stats

# How long TCP lives after OPSP0011, as recorded.
KEY_REFUSED_SECONDS = 0.1


@dataclass(slots=True)
class Connect:
    """One TCP connection.

    `at` is its start in ns since 1970. `accepted` is true if its handshake was accepted.
    """

    at: int
    path: str | None = None
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """One request and its answer.

    `at` is the time in ns since 1970. `code` is the reply's code. `sent` is false if a fault kept
    the reply back.
    """

    at: int
    session: int
    app_key: int | None
    tr_type: str
    tr_key: str
    code: str
    sent: bool


class Exchange:
    """Applies KIS's rules to all clients. Implements `connection.Peer`."""

    def __init__(self, settings: SimulatorSettings, approvals: Approvals, faults: Faults, stats: Stats) -> None:
        self.connects: list[Connect] = []
        self.answers: list[Answered] = []
        self.holders: dict[str, list[int]] = {}
        self.by_number: dict[int, tuple[Session, Connection]] = {}
        self._settings, self._approvals, self._faults, self._stats = settings, approvals, faults, stats
        self._connections: dict[int, Connection] = {}
        self._taken_until: dict[int, float] = {}
        faults.on_change = self._silence

    @property
    def sessions(self) -> list[Session]:
        """The open sessions, oldest first."""
        return [session for session, _ in self.by_number.values()]

    @property
    def connections(self) -> list[Connection]:
        """Every open TCP connection, also those before their handshake."""
        return list(self._connections.values())

    def accept(self) -> Connection:
        """Return the protocol object for a new TCP connection."""
        connection = Connection(self, len(self.connects))
        self.connects.append(Connect(time.time_ns()))
        self._connections[connection.number] = connection
        return connection

    def find(self, app_key: int) -> tuple[Session, Connection]:
        """Return the open session of an app key; raise LookupError if it has none."""
        for session, connection in self.by_number.values():
            if session.app_key == app_key and connection.is_open:
                return session, connection
        raise LookupError(f"App key {app_key} has no open session")

    def handshake(self, connection: Connection, path: str) -> int | None:
        """Accept any path, as KIS does."""
        self.connects[connection.number].path = path
        if self._faults.echoes("handshake"):
            connection.upgrade = self._approvals.latest
        status = self._faults.text("handshake")
        return None if status is None else int(status)

    def opened(self, connection: Connection) -> None:
        """Start a session. Its first request will name the approval key."""
        self.connects[connection.number].accepted = True
        session = Session(connection.number, time.monotonic(), self._settings.pingpong_seconds, self._settings.seed)
        self.by_number[connection.number] = (session, connection)
        self._silence()
        if "close-at-once" in self._faults:
            connection.cut()

    def ended(self, connection: Connection) -> None:
        """Drop a session.

        If the client sent no close frame, its app key stays in use for a while.
        """
        self._connections.pop(connection.number, None)
        self._stats.end_stall(connection.number)
        held = self.by_number.pop(connection.number, None)
        if held is None:
            return
        session = held[0]
        session.connected = False
        self._index()
        if session.app_key is not None and not connection.left_cleanly:
            if "burn-key" in self._faults:
                self._approvals.burn(session.approval_key)
            self._taken_until[session.app_key] = time.monotonic() + self._settings.linger_seconds

    def paused(self, connection: Connection) -> None:
        """Start to count a stall."""
        self._stats.begin_stall(connection.number)

    def resumed(self, connection: Connection) -> None:
        """End a stall."""
        self._stats.end_stall(connection.number)

    def message(self, connection: Connection, raw: bytes, opcode: str) -> None:
        """Handle one message of a client."""
        held = self.by_number.get(connection.number)
        if held is None or not connection.is_open:
            return
        session, now = held[0], time.monotonic()
        if is_pingpong(raw):
            session.note_answer(raw, opcode, now)
        elif opcode in {"ping", "pong"}:
            if self._settings.ping == "strict":
                connection.cut()
        else:
            session.note_traffic(now)
            self._answer(session, connection, raw)

    def tick(self) -> None:
        """Do what the time calls for on every session.

        End a session that is too old, or that left a PINGPONG unanswered for too long. Send a
        PINGPONG on the other sessions where one is due. Forget registrations if a fault says so.
        """
        now = time.monotonic()
        self._forget(now)
        for session, connection in list(self.by_number.values()):
            if session.unanswered_seconds(now) >= self._settings.pingpong_timeout_seconds:
                connection.cut()
            elif (
                not self._end_by_age(connection, now - session.opened)
                and session.advance(now)
                and "no-pingpong" not in self._faults
            ):
                raw = reply.pingpong(self._settings.clock()).encode()
                if connection.send(raw):
                    session.note_traffic(now)
                    session.note_pingpong(raw, now)

    def _forget(self, now: float) -> None:
        age = self._faults.seconds("forget")
        if age is not None:
            for session in self.sessions:
                session.forget(age, now)
            self._index()

    @property
    def reason(self) -> str:
        """The reason to give in a close frame."""
        return self._approvals.latest if self._faults.echoes("close") else ""

    def _end_by_age(self, connection: Connection, age: float) -> bool:
        code, _, seconds = (self._faults.text("close") or "").partition("@")
        if code and age >= float(seconds or 10):
            connection.close(int(code), self.reason)
        elif (limit := self._faults.seconds("abrupt")) is not None and age >= limit:
            connection.reset()
        elif (limit := self._faults.seconds("no-close-frame")) is not None and age >= limit:
            connection.cut()
        else:
            return False
        return True

    def _answer(self, session: Session, connection: Connection, raw: bytes) -> None:
        request = parse(raw)
        if isinstance(request, Request) and request.registers and self._is_burst(session):
            connection.cut()
            return
        code, keys = (request.code, None) if isinstance(request, Misshapen) else self._obey(session, request)
        quoted = request.approval_key if isinstance(request, Request) and self._quotes(code) else ""
        encrypts = "encrypted" in self._faults
        text = reply.reply(code, request.tr_id, request.tr_key, keys, quoted=quoted, encrypts=encrypts)
        lost = self._faults.strike("lost-replies")
        tr_type = "" if isinstance(request, Misshapen) else request.tr_type
        self.answers.append(
            Answered(time.time_ns(), session.number, session.app_key, tr_type, request.tr_key, code, not lost)
        )
        drop = None if self._spares(code) else 0.0 if codes.result(code) == "9" else KEY_REFUSED_SECONDS
        delay = self._faults.seconds("slow-replies")
        if delay is None:
            self._reply(connection, None if lost else text, drop)
        else:
            asyncio.get_running_loop().call_later(delay, self._reply, connection, None if lost else text, drop)

    def _is_burst(self, session: Session) -> bool:
        most = self._faults.number("burst", 0)
        return 0 < most < session.note_registration(time.monotonic())

    def _quotes(self, code: str) -> bool:
        """Return whether the answer quotes the approval key, as KIS's own OPSP0011 does."""
        return (code == "OPSP0011" and "friendly-refusal" not in self._faults) or self._faults.echoes("reply")

    def _spares(self, code: str) -> bool:
        """Return whether the session goes on after the answer."""
        spares = "friendly-refusal" if code == "OPSP0011" else "keep-after-error"
        return not codes.ends_session(code) or spares in self._faults

    def _reply(self, connection: Connection, text: str | None, drop: float | None) -> None:
        """Send an answer, and end TCP after `drop` seconds unless it is None."""
        held = self.by_number.get(connection.number)
        if text is not None and connection.send(text.encode()) and held is not None:
            held[0].note_traffic(time.monotonic())
        if drop is None or held is None or not connection.is_open or connection.silent:
            return
        if drop:
            asyncio.get_running_loop().call_later(drop, connection.cut)
        else:
            connection.cut()

    def _obey(self, session: Session, request: Request) -> tuple[str, reply.Keys | None]:
        """Return the code of the answer, and the keys that a successful registration gets."""
        if request.registers and (forced := self._faults.reply_for(request.tr_key)) is not None:
            return forced, None
        owner = self._approvals.app_key_of(request.approval_key, time.time())
        if session.app_key is None:
            # KIS checks the approval key only once, so the session outlives the key.
            if owner is None:
                return "OPSP0011", None
            if not self._claim(owner, session):
                return "OPSP8996", None
            session.app_key, session.approval_key = owner, request.approval_key
        return self._register(session, request) if request.registers else self._release(session, request)

    def _claim(self, app_key: int, by: Session) -> bool:
        """Return whether the session `by` may have the app key.

        If `in_use` is `kick`, end the app key's old session first.
        """
        for session, connection in list(self.by_number.values()):
            if session.app_key == app_key and session is not by and connection.is_open:
                if self._settings.in_use == "refuse":
                    return False
                connection.cut()
        return self._settings.in_use == "kick" or time.monotonic() >= self._taken_until.get(app_key, 0.0)

    def _register(self, session: Session, request: Request) -> tuple[str, reply.Keys | None]:
        if (request.tr_id, request.tr_key) in session.registered:
            return "OPSP0002", None
        if len(session.registered) >= self._settings.capacity:
            return "OPSP0008", None
        keys = session.register(request.tr_id, request.tr_key)
        self._index()
        return codes.REGISTERED, keys

    def _release(self, session: Session, request: Request) -> tuple[str, reply.Keys | None]:
        if session.registered.pop((request.tr_id, request.tr_key), None) is None:
            return "OPSP0003", None
        self._index()
        return codes.RELEASED, None

    def _index(self) -> None:
        """Rebuild the index that maps each bond to the sessions that registered its trades."""
        self.holders = {}
        for number, (session, _) in self.by_number.items():
            for tr_key in session.tr_keys:
                self.holders.setdefault(tr_key, []).append(number)

    def _silence(self) -> None:
        for _, connection in self.by_number.values():
            connection.silent = "silent" in self._faults
