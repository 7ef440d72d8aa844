"""One slot's dealings with KIS: text and time in, effects out.

The object lives as long as its slot. `opened` and `closed` bracket each connection; between them `converge` brings what KIS holds towards
what is wanted. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from connector.core.kis.reaction import Reaction
from connector.core.kis.registration import Pace, Registrations, RegistrationView
from connector.core.kis.reply import Ping, Reply, Unreadable, parse, request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connector.core.kis.governor import Cause, Governor

__all__ = [
    "Close",
    "Effect",
    "Pace",
    "Refused",
    "RegistrationView",
    "ReissueKey",
    "Send",
    "Session",
    "SlotView",
    "Strange",
]

# KIS's usage rules: at least one second between connect and close.
SHORTEST_SESSION_SECONDS: Final = 1.0
# A list that is emptied and filled again within this time closes no connection.
LINGER_SECONDS: Final = 2.0
KEYS_KEPT: Final = 1000

SlotState = Literal["CONNECTED", "CONNECTING", "BLOCKED", "IDLE"]


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot as the status topic and the pages show it."""

    slot: int
    state: SlotState
    capacity: int
    registered: int
    code: str | None
    message: str | None
    registrations: Mapping[str, RegistrationView]


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame; a request holds the approval key."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection politely."""

    cause: Cause
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class ReissueKey:
    """Get a new approval key, no sooner than in `wait` seconds, and hand it to `key_reissued`."""

    wait: float


@dataclass(frozen=True, slots=True)
class Refused:
    """KIS refused one bond, or had no room for it."""

    isin: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Strange:
    """A JSON message that could not be read; it was counted, and its content stays out of logs."""

    why: str


Effect = Send | Close | ReissueKey | Refused | Strange


class Session:
    """Decides; whoever owns the socket obeys."""

    def __init__(
        self, slot: int, customer_type: str, pace: Pace, governor: Governor, learnt: int | None = None
    ) -> None:
        self.slot = slot
        self._customer_type = customer_type
        self._governor = governor
        self._registrations = Registrations(pace, learnt)
        self._approval_key: str | None = None
        self._opened_at: float | None = None
        self._heard_at = 0.0
        self._refusals = 0
        self._key_expires_at = 0.0
        self._empty_since: float | None = None
        self._leaving: tuple[Cause, float] | None = None
        self._closing = False
        self._blocked = False
        self._barred = False
        self._code: str | None = None
        self._message: str | None = None
        self.may_connect_at = float("-inf")
        # Newest last; KIS does not say which of them an encrypted frame needs.
        self.keys: dict[tuple[str, str], None] = {}
        self.unreadable = 0

    # What is wanted.

    def want(self, isins: Iterable[str], now: float) -> None:
        """Say which bonds this slot should carry, the most important first; of no effect once it is leaving."""
        if self._leaving is not None:
            return
        self._registrations.want(isins)
        if self._registrations.wanted:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = now

    def retry_rejected(self, isins: Iterable[str]) -> None:
        """Try these bonds again although KIS refused them."""
        self._registrations.retry_rejected(isins)

    def leave(self, cause: Cause, until: float) -> None:
        """Release what can be released until then, and close."""
        self._registrations.leave()
        self._leaving = (cause, until)

    @property
    def wanted(self) -> Sequence[str]:
        """The bonds this slot should carry, the most important first."""
        return self._registrations.wanted

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to register."""
        return bool(self._registrations.wanted)

    @property
    def is_open(self) -> bool:
        """Whether a connection is open."""
        return self._opened_at is not None

    @property
    def is_barred(self) -> bool:
        """Whether KIS refused the app key for good."""
        return self._barred

    # The connection's life.

    def opened(self, approval_key: str, now: float, expires_at: float = float("inf")) -> None:
        """Begin a session on a connection that has just opened; from `expires_at` on, no request carries this approval key."""
        self._approval_key = approval_key
        self._key_expires_at = expires_at
        self._opened_at = self._heard_at = now
        self._refusals = 0
        self._closing = self._blocked = self._barred = False
        self._code = self._message = None
        self.keys.clear()
        self._registrations.begin(now)

    def closed(self, cause: Cause, code: str | None, message: str | None, now: float) -> None:
        """Take in that the connection ended, or could not be opened; `may_connect_at` says when the next one may."""
        refused_twice = cause == "approval" and self._opened_at is not None
        self._registrations.end(now, dropped=cause in ("closed", "reset"))
        self._opened_at = None
        self._approval_key = None
        self._barred = self._barred or cause == "refused"
        self._blocked = self._barred or cause == "in_use" or refused_twice
        self._code, self._message = code, message
        self.may_connect_at = now + self._governor.ended(cause, in_use=cause == "in_use" or refused_twice)

    def permitted(self) -> None:
        """Take in that KIS gave an approval key: an app key it had refused counts again."""
        if self._barred:
            self._blocked = self._barred = False
            self._code = self._message = None

    def key_reissued(self, approval_key: str, expires_at: float = float("inf")) -> None:
        """Go on with the new approval key on the same connection."""
        self._approval_key = approval_key
        self._key_expires_at = expires_at
        self._registrations.generation += 1

    # What was received.

    def data_received(self, now: float) -> None:
        """Take in the first data frame of the session, as proof that it works."""
        self.heard(now)
        self._governor.proved()

    def heard(self, now: float) -> None:
        """Take in that a frame of any kind came in at `now`."""
        self._heard_at = max(self._heard_at, now)

    def receive_control(self, text: str, now: float) -> list[Effect]:
        """Take in one JSON message. Never raises."""
        self.heard(now)
        match parse(text):
            case Ping(echo):
                self._governor.proved()
                return [Send(echo)]
            case Unreadable(why):
                self.unreadable += 1
                return [Strange(why)]
            case Reply() as reply:
                return self._receive_reply(reply, now)

    def _receive_reply(self, reply: Reply, now: float) -> list[Effect]:
        if reply.key and reply.iv:
            self.keys.pop((reply.key, reply.iv), None)
            self.keys[reply.key, reply.iv] = None
            if len(self.keys) > KEYS_KEPT:
                del self.keys[next(iter(self.keys))]
        match self._registrations.answered(reply, now):
            case (Reaction.IN_USE, _):
                return self._close("in_use", reply.msg_cd, reply.msg1)
            case (Reaction.REISSUE, _):
                return self._key_refused(reply)
            case (Reaction.REFUSE | Reaction.FULL | Reaction.RETRY, str(isin)):
                return [Refused(isin, reply.msg_cd, reply.msg1)]
        return []

    def _key_refused(self, reply: Reply) -> list[Effect]:
        if self._approval_key is None:
            return []
        self._refusals += 1
        if self._refusals == 1:
            wait = 0.0
        elif self._registrations.active():
            # The bonds that flow are worth more than the one that is refused: the wait is spent on the open connection.
            wait = self._governor.in_use()
        else:
            return self._close("approval", reply.msg_cd, reply.msg1)
        self._approval_key = None
        return [ReissueKey(wait)]

    # What is due.

    def converge(self, now: float) -> list[Effect]:
        """Return what is due: at most one request, or the end of the connection."""
        if self._opened_at is None or self._closing:
            return []
        if now >= self._heard_at + self._governor.silence_timeout:
            return self._close("silence", None, f"Nothing was received for {self._governor.silence_timeout:g} s")
        if (closing_at := self._closing_at()) is not None and now >= closing_at:
            return self._close(*self._why_closing())
        return self._ask(now)

    def _ask(self, now: float) -> list[Effect]:
        if self._approval_key is None:
            return []
        if now >= self._key_expires_at and self._leaving is None and self._registrations.is_due(now):
            self._approval_key = None
            return [ReissueKey(0.0)]
        if (due := self._registrations.next_request(now)) is None:
            return []
        tr_type, isin = due
        return [Send(request(self._approval_key, self._customer_type, tr_type, isin))]

    def next_deadline(self, now: float) -> float | None:
        """Return when `converge` may have something to do, unless something is received before; None without a connection."""
        if self._opened_at is None or self._closing:
            return None
        times = [self._heard_at + self._governor.silence_timeout, self._closing_at()]
        if self._approval_key is not None:
            times.append(self._registrations.next_deadline(now))
        return min(time for time in times if time is not None)

    def _closing_at(self) -> float | None:
        earliest = (self._opened_at or 0.0) + SHORTEST_SESSION_SECONDS
        held = self._registrations.held
        if self._leaving is not None:
            return earliest if held == 0 else max(earliest, self._leaving[1])
        if self._empty_since is not None and held == 0:
            return max(earliest, self._empty_since + LINGER_SECONDS)
        return None

    def _why_closing(self) -> tuple[Cause, None, str]:
        if self._leaving is not None:
            return self._leaving[0], None, "The connection was closed as told"
        return "stop", None, "Nothing was left to register"

    def _close(self, cause: Cause, code: str | None, message: str | None) -> list[Effect]:
        self._closing = True
        return [Close(cause, code, message)]

    # What others read.

    @property
    def capacity(self) -> int:
        """Registrations this slot may carry; none while KIS refuses its app key for good."""
        return 0 if self._barred else self._registrations.limit

    @property
    def places(self) -> int:
        """Bonds this slot can be given: its capacity, and the refused ones, which take no room."""
        return 0 if self._barred else self._registrations.places

    @property
    def failures(self) -> int:
        """Attempts and sessions in a row that KIS did not prove alive."""
        return self._governor.failures

    @property
    def unsolicited(self) -> int:
        """Replies that nothing was waiting for."""
        return self._registrations.unsolicited

    @property
    def view(self) -> SlotView:
        """The slot as others see it."""
        return SlotView(
            slot=self.slot,
            state=self._state(),
            capacity=self.capacity,
            registered=self._registrations.active(),
            code=self._code,
            message=self._message,
            registrations=MappingProxyType(dict(self._registrations.view())),
        )

    def _state(self) -> SlotState:
        if self._opened_at is not None:
            return "CONNECTED"
        if self._barred:
            return "BLOCKED"
        if not self._registrations.wanted:
            return "IDLE"
        return "BLOCKED" if self._blocked else "CONNECTING"
