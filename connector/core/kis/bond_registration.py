"""One bond on one session: what we asked KIS, and what each reply proves about the bond.

A reply names the bond but not the request that it answers. A reply may also come late or never. So
what a reply proves depends on all unanswered requests for the bond. There are two kinds of
requests, register and release. An unanswered request is *superseded* once we send a request of the
other kind. For example, a release supersedes an unanswered register.

| reply                   | our requests (first row that applies)  | what it proves                |
|-------------------------|----------------------------------------|-------------------------------|
| registered (0000, 0002) | a superseded register is unanswered    | nothing: KIS may hold it      |
|                         | our latest request is a release        | nothing: KIS may hold it      |
|                         | otherwise                              | KIS holds it                  |
| released (0001, 0003)   | a superseded release is unanswered     | nothing: KIS may hold it      |
|                         | our latest request is a register       | nothing: perhaps not held     |
|                         | otherwise                              | KIS does not hold it          |
| an error                | no request is unanswered               | nothing: KIS may hold it      |
|                         | a superseded request is unanswered     | nothing: KIS may hold it      |
|                         | several requests are unanswered        | nothing: KIS may hold it      |
|                         | one request is unanswered              | the request changed nothing   |

We take each reply as the answer to the oldest request that it can belong to. If an earlier reply
was lost, we count too many requests as unanswered, but never too few. To resolve a doubt we ask
again. KIS answers a register with 0002 if it already holds the bond. KIS answers a release with
0003 if it does not hold the bond.
Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Literal

from connector.core.kis.reply import REGISTER, RELEASE
from connector.core.kis.reply_codes import SUCCESS, Reaction

if TYPE_CHECKING:
    from connector.core.kis.pace import Pace
    from connector.core.kis.reply import Reply, TrType

# If KIS drops the socket because of a refusal with rt_cd 9, it does so within this time.
DROP_AFTER_REFUSAL_SECONDS: Final = 5.0
HELD_BACK_SECONDS: Final = 60.0
HELD_BACK_MAX_SECONDS: Final = 3600.0

RegistrationState = Literal["PENDING", "ACTIVE", "REJECTED", "WAITING_CAPACITY"]


@dataclass(frozen=True, slots=True)
class RegistrationView:
    """One bond as the status topic shows it, with KIS's own `code` and `message`."""

    state: RegistrationState
    code: str | None
    message: str | None


class Held(IntEnum):
    """Whether KIS holds a bond on this session, as far as we know."""

    NO = 0
    MAYBE = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class Request:
    """A request that KIS has not answered yet.

    `key_number` says which of the session's approval keys the request carries. `held_before` is
    what we knew about the bond before we sent the request.
    """

    tr_type: TrType
    sent_at: float
    key_number: int
    held_before: Held


@dataclass(frozen=True, slots=True)
class Refusal:
    """KIS refused the bond.

    If refusals of this bond ended several sessions, we do not ask before `held_back_until`.
    """

    rt_cd: str
    at: float
    held_back_until: float | None = None

    def explains_drop(self, now: float) -> bool:
        """Whether this refusal is probably why KIS drops the socket now."""
        return self.rt_cd == "9" and 0 <= now - self.at <= DROP_AFTER_REFUSAL_SECONDS

    def held_back(self, cost: int, now: float) -> Refusal:
        """Return this refusal. If `cost` is above 1, set the time before which we do not ask.

        `cost` is the number of sessions that ended because KIS refused the bond.
        """
        if cost == 1:
            return self
        seconds = min(HELD_BACK_MAX_SECONDS, HELD_BACK_SECONDS * 2.0 ** min(cost - 2, 16))
        return replace(self, held_back_until=now + seconds)


@dataclass(slots=True)
class BondRegistration:
    """The actual state of one bond.

    `awaited` is the request whose reply we wait for. `unanswered` holds the unanswered requests of
    the latest kind. `superseded` holds the earlier unanswered requests, which may be of either
    kind. Each request in these two lists may still get a reply. Both lists are in the order of
    sending. `latest_error` is the latest error about the bond. `wait_goes_on` is true if KIS ended
    the session because of that error. `found_full` is true if KIS had no room for the bond.
    `release_sent_at` is when we sent the latest release that KIS confirmed.
    """

    held: Held = Held.NO
    awaited: Request | None = None
    latest: TrType | None = None
    unanswered: list[Request] = field(default_factory=list)
    superseded: list[Request] = field(default_factory=list)
    refusal: Refusal | None = None
    latest_error: Refusal | None = None
    wait_goes_on: bool = False
    found_full: bool = False
    unwanted_since: float | None = None
    release_sent_at: float = float("-inf")
    failures: int = 0
    not_before: float = float("-inf")
    code: str | None = None
    message: str | None = None

    # The session's life.

    def start_session(self, now: float) -> None:
        """Forget that KIS had no room, and forget a refusal that does not hold the bond back."""
        self.found_full = False
        if not (self.refusal and self.refusal.held_back_until and self.refusal.held_back_until > now):
            self.forget_refusal()

    def end_session(self) -> None:
        """Forget what KIS holds and what we asked: registrations end with their session.

        A refusal, a lack of room, and KIS's code and message are not forgotten. Neither is the wait
        after an error that ended the session: asking at once would end the next one, too.
        """
        self.held, self.awaited, self.latest = Held.NO, None, None
        self.unanswered, self.superseded = [], []
        self.unwanted_since = None
        self.release_sent_at = float("-inf")
        if not self.wait_goes_on:
            self.failures, self.not_before = 0, float("-inf")

    def forget_refusal(self) -> None:
        """Forget the refusal, so that we may ask for the bond again."""
        self.refusal = self.latest_error = self.code = self.message = None

    # Requests.

    def send(self, request: Request) -> None:
        """Record that we sent this request."""
        if self.latest != request.tr_type:
            self.superseded += self.unanswered
            self.unanswered = []
        self.latest, self.awaited, self.held = request.tr_type, request, Held.MAYBE
        self.unanswered.append(request)
        self.wait_goes_on = False
        if request.tr_type == REGISTER:
            self.found_full = False

    def give_up_lost(self, now: float, pace: Pace) -> None:
        """Stop expecting a reply that did not come within `pace.lost_after`: it must be lost."""
        self.unanswered = [request for request in self.unanswered if now < request.sent_at + pace.lost_after]
        self.superseded = [request for request in self.superseded if now < request.sent_at + pace.lost_after]

    def stop_awaiting(self, now: float, pace: Pace) -> None:
        """Stop waiting for an overdue reply, so that we may ask about the bond again."""
        if self.awaited and now >= self.awaited.sent_at + pace.reply_timeout:
            self.awaited = None
            # The first time, we ask again at once. Before each later repetition we wait longer.
            self.not_before = now + (pace.backoff(self.failures - 1) if self.failures else 0.0)
            self.failures += 1

    @property
    def may_get_reply(self) -> bool:
        """Whether KIS may still reply to a request about this bond."""
        return bool(self.superseded or self.unanswered)

    def may_have_been_held(self, sent_at: float) -> bool:
        """Whether KIS may have held this bond when it handled a request that we sent at `sent_at`.

        That request may be about another bond. KIS handles requests in the order of sending.
        """
        if self.held is Held.MAYBE and self.unanswered and self.unanswered[0].sent_at >= sent_at:
            return self.unanswered[0].held_before > Held.NO
        return self.held > Held.NO or self.release_sent_at >= sent_at

    # Replies: the table above.

    def confirm_held(self) -> bool:
        """Handle OPSP0000 or OPSP0002; return whether it proves that KIS holds the bond."""
        if self._remove_superseded(REGISTER) or self.latest != REGISTER:
            self.held = max(self.held, Held.MAYBE)
            # We do not know which request this reply answers. So we do not know either what KIS
            # held before each of the others.
            self.unanswered = [replace(request, held_before=Held.MAYBE) for request in self.unanswered]
            return False
        self._resolve(Held.YES)
        self.forget_refusal()
        self.found_full = False
        return True

    def confirm_not_held(self, *, released: bool) -> bool:
        """Handle OPSP0001 or OPSP0003; return whether it proves that KIS does not hold the bond.

        `released` is true if KIS says that it released the bond, and false if KIS says that it did
        not hold the bond.
        """
        if self._remove_superseded(RELEASE):
            return False
        if released and self.unanswered:
            self.release_sent_at = self.unanswered[0].sent_at
        if self.latest != RELEASE:
            self.held = min(self.held, Held.MAYBE)
            return False
        failures, not_before = self.failures, self.not_before
        self._resolve(Held.NO)
        if self.refusal or self.found_full:
            # Keep the wait after a refusal or a lack of room. Without the wait, we would register
            # and release the bond in a fast loop.
            self.failures, self.not_before = failures, not_before
        else:
            self.code = self.message = None
        return True

    def refuse_key(self, reply: Reply, key_number: int) -> bool:
        """Handle the refusal of an approval key; return whether KIS refused key `key_number`."""
        known = self._remove_failed()
        if self.awaited is None:
            return False
        is_current = self.awaited.key_number == key_number
        self.awaited, self.held = None, known
        self.code, self.message = reply.msg_cd, reply.msg1
        return is_current

    def fail(self, reply: Reply, what: Reaction, now: float, pace: Pace) -> Reaction | None:
        """Handle an error; return what to do, or None if the error says nothing about the bond."""
        was_unanswered, was_superseded = self.may_get_reply, bool(self.superseded)
        known = self._remove_failed()
        # The error may answer an earlier request. Then it says nothing about the bond's new state.
        is_old = self.held is Held.NO or self.latest == RELEASE or was_superseded
        if self.awaited is None and (is_old or (was_unanswered and self.held is Held.YES)):
            return None
        self.awaited = None
        may_last = what is Reaction.RETRY and self.latest == REGISTER
        self.not_before = now + (pace.backoff_of_error if may_last else pace.backoff)(self.failures)
        self.failures += 1
        if self.latest == RELEASE:
            return Reaction.RETRY
        self.held = Held.MAYBE if reply.rt_cd == SUCCESS else known
        self.code, self.message = reply.msg_cd, reply.msg1
        self.latest_error = Refusal(reply.rt_cd, now)
        if what is Reaction.REFUSE:
            self.refusal = self.latest_error
        elif what is Reaction.FULL:
            # If this error answers a superseded request, KIS may have got room after that request.
            # (A refusal is valid whichever request it answers.)
            if was_superseded:
                return Reaction.RETRY
            self.found_full = True
        return what

    def _remove_superseded(self, tr_type: TrType) -> bool:
        """Remove the oldest superseded request of this kind; return whether there was one."""
        found = next((request for request in self.superseded if request.tr_type == tr_type), None)
        if found:
            self.superseded.remove(found)
        return found is not None

    def _remove_failed(self) -> Held:
        """Remove the request that an error answers; return what we then know about the bond.

        While a superseded request is unanswered, we cannot tell which request the error answers.
        Then we remove none.
        """
        if self.superseded or not self.unanswered:
            return Held.MAYBE
        request = self.unanswered.pop(0)
        return Held.MAYBE if self.unanswered else request.held_before

    def _resolve(self, held: Held) -> None:
        del self.unanswered[:1]
        self.held, self.awaited, self.failures, self.not_before = held, None, 0, float("-inf")

    # What others read.

    def view(self, *, is_beyond_room: bool) -> RegistrationView:
        """Return the bond as the status topic shows it.

        `is_beyond_room` is true if the session has no room for the bond.
        """
        if self.held is Held.YES:
            return RegistrationView("ACTIVE", None, None)
        if self.refusal:
            return RegistrationView("REJECTED", self.code, self.message)
        if self.found_full and not self.awaited:
            return RegistrationView("WAITING_CAPACITY", self.code, self.message)
        if is_beyond_room and self.held is Held.NO:
            return RegistrationView("WAITING_CAPACITY", None, None)
        return RegistrationView("PENDING", self.code, self.message)
