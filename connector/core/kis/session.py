"""One slot's session with KIS: text and time come in, effects go out.

The object lives as long as its slot. Each connection begins with `opened` and ends with `closed`.
Between these two calls, `converge` makes the bonds that KIS holds equal to the bonds that are
wanted. Times are monotonic seconds.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from connector.core.kis.effect import Close, Echo, Effect, Refused, ReissueKey, Send, Strange
from connector.core.kis.probe import Probe
from connector.core.kis.reply import REGISTER, UNNAMED, Ping, Reply, Unreadable, parse, request
from connector.core.kis.reply_codes import Reaction, reaction
from connector.core.kis.session_registrations import SessionRegistrations
from connector.core.kis.slot_view import SlotView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from connector.core.cipher_key import CipherKey
    from connector.core.kis.backoff import Backoff, Cause
    from connector.core.kis.pace import Pace
    from connector.core.kis.reply import TrType
    from connector.core.kis.slot_view import SlotState

# KIS's usage rules: at least one second between connect and close.
SHORTEST_SESSION_SECONDS: Final = 1.0
# If a list is emptied and filled again within this time, the connection stays open.
LINGER_SECONDS: Final = 2.0
MOST_CIPHER_KEYS: Final = 1000
# If KIS drops the socket because of an error, it does so within this time.
DROP_AFTER_ERROR_SECONDS: Final = 5.0
_TOLD: Final = (Reaction.REFUSE, Reaction.FULL, Reaction.RETRY)


class Session:
    """Decides what to do on a slot's connection; the owner of the socket does it.

    `clean` removes secrets from the texts of a reply, so that these texts may be shown.
    """

    def __init__(  # noqa: PLR0913 - two names and three collaborators of a slot
        self,
        slot: int,
        customer_type: str,
        pace: Pace,
        backoff: Backoff,
        *,
        clean: Callable[[Reply], Reply],
        learned_limit: int | None = None,
        probe: Probe | None = None,
    ) -> None:
        self.slot = slot
        self._customer_type = customer_type
        self._backoff = backoff
        self._clean = clean
        self._registrations = SessionRegistrations(pace, learned_limit)
        self._probe = probe or Probe()
        self._approval_key: str | None = None
        self._opened_at: float | None = None
        self._heard_at = 0.0
        self._key_refusals = 0
        self._key_was_refused = False
        self.key_refusal: Close | None = None
        self._latest_error: tuple[float, Close] | None = None
        self._is_error_ours = False  # whether the latest error may be about a bond that we asked for
        self._key_expires_at = 0.0
        self._empty_since: float | None = None
        self._leaving: tuple[Cause, float] | None = None
        self._is_closing = False
        self._is_blocked = False
        self._is_barred = False
        self._code: str | None = None
        self._message: str | None = None
        self.may_connect_at = float("-inf")
        # The newest key is last. KIS does not say which key an encrypted frame needs.
        self.cipher_keys: dict[CipherKey, None] = {}
        self.unreadable = 0

    # What is wanted.

    def want(self, isins: Iterable[str], now: float) -> None:
        """Set the bonds this slot should carry, the most important first.

        After `leave` this call does nothing.
        """
        if self._leaving is not None:
            return
        self._registrations.want(isins)
        if self._registrations.wanted:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = now

    def retry_rejected(self, isins: Iterable[str]) -> None:
        """Try these bonds again if KIS refused them."""
        self._registrations.retry_rejected(isins)

    def leave(self, cause: Cause, until: float) -> None:
        """Release every bond, then close the connection; at `until`, close it in any case."""
        self._registrations.leave()
        self._leaving = (cause, until)

    @property
    def wanted(self) -> Sequence[str]:
        """The bonds this slot should carry, the most important first."""
        return self._registrations.wanted

    @property
    def is_needed(self) -> bool:
        """Whether this slot should carry any bond."""
        return bool(self._registrations.wanted)

    @property
    def is_open(self) -> bool:
        """Whether a connection is open."""
        return self._opened_at is not None

    @property
    def is_barred(self) -> bool:
        """Whether KIS refused the app key for good."""
        return self._is_barred

    # The connection's life.

    def opened(self, approval_key: str, now: float, expires_at: float = float("inf")) -> None:
        """Begin a session with this approval key.

        From `expires_at` on, the session gets a new key before it sends its next request. A slot
        that is leaving keeps the old key.
        """
        self._approval_key = approval_key
        self._key_expires_at = expires_at
        self._opened_at = self._heard_at = now
        # A key that was refused just before the last connection ended counts, too.
        self._key_refusals = int(self._key_was_refused)
        self.key_refusal = self._latest_error = None
        self._is_closing = self._is_blocked = self._is_barred = False
        self._code = self._message = None
        self.cipher_keys.clear()
        self._registrations.begin(now)
        self._probe.begin(now)

    def closed(self, cause: Cause, code: str | None, message: str | None, now: float) -> None:
        """Record that the connection ended or could not be opened, and set `may_connect_at`."""
        if self._opened_at is not None:
            self._key_was_refused = cause == "approval"
        refused_twice = self._opened_at is not None and cause == "approval" and self._key_refusals > 1
        self._registrations.end(now, is_unexplained=not self._is_explained(cause, now))
        self._probe.end(cause, now)
        self._opened_at = None
        self._approval_key = None
        self._is_barred = self._is_barred or cause == "refused"
        self._is_blocked = self._is_barred or cause == "in_use" or refused_twice
        self._code, self._message = code, message
        self.may_connect_at = now + self._backoff.ended(cause, in_use=cause == "in_use" or refused_twice)

    def _is_explained(self, cause: Cause, now: float) -> bool:
        """Whether no request ended a connection: we did, or an error about another one came last.

        A close frame explains nothing, whatever it says: a request may have brought it.
        """
        is_ended_by_kis = cause in ("closed", "reset")
        return not is_ended_by_kis or (self._is_error_ours and self.last_words(now) is not None)

    def app_key_accepted(self) -> None:
        """Record that KIS issued an approval key, which ends a refusal of the app key."""
        if self._is_barred:
            self._is_blocked = self._is_barred = False
            self._code = self._message = None

    def key_reissued(self, approval_key: str, expires_at: float = float("inf")) -> None:
        """Continue with the new approval key on the same connection."""
        self.key_refusal = None
        self._approval_key = approval_key
        self._key_expires_at = expires_at
        self._registrations.change_key()

    # What was received.

    def data_received(self, now: float) -> None:
        """Record the first data frame of the session, which proves that the session works."""
        self.heard(now)
        self._backoff.proved_alive()

    def heard(self, now: float) -> None:
        """Record that a frame of any kind arrived at `now`."""
        self._heard_at = max(self._heard_at, now)

    def receive_control(self, text: str, now: float) -> list[Effect]:
        """Handle one JSON message. Never raises."""
        self.heard(now)
        match parse(text):
            case Ping(echo):
                self._backoff.proved_alive()
                return [Echo(echo)]
            case Unreadable(why):
                self.unreadable += 1
                return [Strange(why)]
            case Reply() as reply:
                return self._receive_reply(self._clean(reply), now)

    def _receive_reply(self, reply: Reply, now: float) -> list[Effect]:
        # A key counts only in a reply that we expect. Otherwise a peer could send endless keys.
        if reply.cipher_key and self._registrations.may_get_reply(reply.tr_key):
            self.cipher_keys.pop(reply.cipher_key, None)
            self.cipher_keys[reply.cipher_key] = None
            if len(self.cipher_keys) > MOST_CIPHER_KEYS:
                del self.cipher_keys[next(iter(self.cipher_keys))]
        what, received = reaction(reply), self._registrations.receive(reply, now)
        if what not in (Reaction.REGISTERED, Reaction.RELEASED):
            self._latest_error = now, Close("reset", reply.msg_cd, reply.msg1)
            self._is_error_ours = reply.tr_key in UNNAMED or self._registrations.knows(reply.tr_key)
        match received:
            case (what, str(isin)) if loss := self._probe.judge(isin, what, reply.msg_cd, now):
                if loss.why == "probe":
                    self._probe.doubt(self._registrations.doubt_others(isin))
                return [loss]
            case (Reaction.IN_USE, _):
                return self._close("in_use", reply.msg_cd, reply.msg1)
            case (Reaction.REISSUE, _):
                return self._key_refused(reply)
            case (_, isin) if what in _TOLD:
                return [Refused(isin, reply.msg_cd, reply.msg1)]
            case None if what in _TOLD and reply.tr_key in UNNAMED:
                return [Refused(None, reply.msg_cd, reply.msg1)]
        return []

    def _key_refused(self, reply: Reply) -> list[Effect]:
        if self._approval_key is None:
            return []
        self._key_refusals += 1
        if self._key_refusals == 1:
            wait = 0.0
        elif self._registrations.active_count:
            # The connection brings ticks of other bonds, so we keep it open while we wait.
            wait = self._backoff.next_long_wait()
        else:
            return self._close("approval", reply.msg_cd, reply.msg1)
        self._approval_key = None
        self.key_refusal = Close("approval", reply.msg_cd, reply.msg1)
        return [ReissueKey(wait)]

    def last_words(self, now: float) -> Close | None:
        """Return the error that probably explains a connection that ends without a close frame."""
        if self._latest_error is None or now - self._latest_error[0] > DROP_AFTER_ERROR_SECONDS:
            return None
        return self._latest_error[1]

    # What is due.

    def converge(self, now: float) -> list[Effect]:
        """Return the effect that is due, if any: a Send, a ReissueKey or a Close."""
        if self._opened_at is None or self._is_closing:
            return []
        if now >= self._heard_at + self._backoff.silence_timeout:
            return self._close("silence", None, f"Nothing was received for {self._backoff.silence_timeout:g} s")
        if (closing_at := self._closing_at()) is not None and now >= closing_at:
            return self._close(*self._why_closing())
        return self._ask(now)

    def _ask(self, now: float) -> list[Effect]:
        if self._approval_key is None:
            return []
        self._registrations.advance(now)
        is_due = self._registrations.is_due(now) or now >= self._probe_at
        if now >= self._key_expires_at and self._leaving is None and is_due:
            self._approval_key = None
            return [ReissueKey(0.0)]
        if (due := self._registrations.send_next(now) or self._send_probe(now)) is None:
            return []
        tr_type, isin = due
        self._probe.note_request(isin, now)
        return [Send(request(self._approval_key, self._customer_type, tr_type, isin))]

    @property
    def _probe_at(self) -> float:
        """When we may ask for a bond that KIS should hold; infinity if we may not."""
        return float("inf") if self._leaving else max(self._probe.next_at, self._registrations.next_request_at)

    def _send_probe(self, now: float) -> tuple[TrType, str] | None:
        if now < self._probe_at or (isin := self._probe.choose(self._registrations.probeable(), now)) is None:
            return None
        self._registrations.send_probe(isin, now)
        return REGISTER, isin

    def next_deadline(self, now: float) -> float | None:
        """Return when to call `converge` again if nothing arrives before that time.

        Return None if no connection is open, or if the connection is already closing.
        """
        if self._opened_at is None or self._is_closing:
            return None
        times = [self._heard_at + self._backoff.silence_timeout, self._closing_at()]
        if self._approval_key is not None:
            times += [self._registrations.next_deadline(now), self._probe_at]
        return min(time for time in times if time is not None)

    def _closing_at(self) -> float | None:
        earliest = (self._opened_at or 0.0) + SHORTEST_SESSION_SECONDS
        held = self._registrations.held_count
        if self._leaving is not None:
            return earliest if held == 0 else max(earliest, self._leaving[1])
        if self._empty_since is not None and held == 0:
            return max(earliest, self._empty_since + LINGER_SECONDS)
        return None

    def _why_closing(self) -> tuple[Cause, None, str]:
        if self._leaving is not None:
            return self._leaving[0], None, "The connector closed the connection"
        return "stop", None, "Nothing was left to register"

    def _close(self, cause: Cause, code: str | None, message: str | None) -> list[Effect]:
        self._is_closing = True
        return [Close(cause, code, message)]

    # What others read.

    @property
    def capacity(self) -> int:
        """How many registrations this slot may hold; 0 if KIS refused its app key for good."""
        return 0 if self._is_barred else self._registrations.limit

    @property
    def failures(self) -> int:
        """How many attempts and sessions failed since a session last proved alive."""
        return self._backoff.failures

    def is_slowed(self, now: float) -> bool:
        """Whether requests go out one by one, because so many failed within an hour."""
        return self._registrations.is_slowed(now)

    @property
    def unsolicited(self) -> int:
        """How many replies arrived that we were not waiting for."""
        return self._registrations.unsolicited

    @property
    def view(self) -> SlotView:
        """The slot as the status topic and the pages show it."""
        return SlotView(
            slot=self.slot,
            state=self._state(),
            capacity=self.capacity,
            registered=self._registrations.active_count,
            code=self._code,
            message=self._message,
            registrations=MappingProxyType(dict(self._registrations.view())),
        )

    def _state(self) -> SlotState:
        if self._opened_at is not None:
            return "CONNECTED"
        if self._is_barred:
            return "BLOCKED"
        if not self._registrations.wanted:
            return "IDLE"
        return "BLOCKED" if self._is_blocked else "CONNECTING"
