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
from connector.core.kis.reply_codes import ENDS_SESSION, SUCCESS, Reaction

if TYPE_CHECKING:
    from connector.core.kis.pace import Pace
    from connector.core.kis.reply import Reply, TrType

# KIS may have refused a bond that it knows an hour later, such as one that is listed today.
REFUSED_SECONDS: Final = 1800.0
# So long at most waits a bond that seems to end sessions: the network may have ended them.
BLAMED_SECONDS: Final = 300.0
# A bond that has to wait longer for its next attempt gives up its place to other bonds.
PLACE_KEPT_SECONDS: Final = 60.0
# After a longer wait, the bond takes only a place that is free. Waits double, so a bond claims a
# place at most twice. A bond that makes room for it twice need not rest (`FREE_RELEASES`).
PLACE_CLAIMED_SECONDS: Final = 150.0

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


@dataclass(slots=True)
class BondRegistration:
    """The actual state of one bond.

    `awaited` is the request whose reply we wait for. `unanswered` holds the unanswered requests of
    the latest kind. `superseded` holds the earlier unanswered requests, which may be of either
    kind. Each request in these two lists may still get a reply. Both lists are in the order of
    sending. `failed_at` is when KIS last answered with an error whose wait goes on in later
    sessions. `retry_wait` says by its length what becomes of the bond's place meanwhile: it is the
    seconds from that error to our next attempt, or less if a list newly wants the bond, and 0 while
    the bond counts among the others. `failed_requests` counts, over all sessions, the requests
    about the bond that failed since KIS last confirmed it, the last one at `latest_failure_at`.
    `found_full` is true if KIS had no room for the bond. `release_sent_at` is when we sent the
    latest release that KIS confirmed. `blames` counts the sessions that ended because of the bond
    since KIS last confirmed it. For them it waits until `blamed_until`. `is_doubted` is true from
    a session's end that may be the bond's doing until another session outlives a request for it.
    """

    held: Held = Held.NO
    awaited: Request | None = None
    latest: TrType | None = None
    unanswered: list[Request] = field(default_factory=list)
    superseded: list[Request] = field(default_factory=list)
    failed_at: float | None = None
    retry_wait: float = 0.0
    latest_failure_at: float = float("-inf")
    failed_requests: int = 0
    found_full: bool = False
    unwanted_since: float | None = None
    release_sent_at: float = float("-inf")
    is_doubted: bool = False
    blames: int = 0
    blamed_until: float = float("-inf")
    failures: int = 0
    not_before: float = float("-inf")
    code: str | None = None
    message: str | None = None

    # The session's life.

    def end_session(self, now: float, pace: Pace, *, is_to_blame: bool = False) -> bool:
        """Forget what KIS holds and what we asked: registrations end with their session.

        What KIS answered is not forgotten, and neither is the wait after an error, or after a
        session that the bond ended: asking at once could end the next session, too. Return whether
        the session ended before KIS answered a request. That is a failure of the bond if the bond
        is to blame, or if an earlier request failed. Otherwise, another bond may have ended the
        session.
        """
        was_cut_off = self.awaited is not None
        if was_cut_off and (is_to_blame or self.failed_requests):
            self._count_failure(now)
        self.held, self.awaited, self.latest = Held.NO, None, None
        if was_cut_off and self.failed_at is not None:
            self._note_error(now, pace, self.retry_wait)
        elif self.failed_at is None:
            self.failures, self.not_before = 0, self.blamed_until
        elif self.not_before > now + PLACE_KEPT_SECONDS and not self.is_rejected:
            wait, is_long = self.not_before - self.failed_at, self.not_before > now + PLACE_CLAIMED_SECONDS
            self.retry_wait = wait if is_long else min(wait, PLACE_CLAIMED_SECONDS)
        self.unanswered, self.superseded = [], []
        self.unwanted_since = None
        self.release_sent_at = float("-inf")
        return was_cut_off

    def blame(self, now: float, pace: Pace) -> None:
        """Wait before the next attempt, as this one ended the session of confirmed bonds."""
        self.blamed_until = now + min(BLAMED_SECONDS, pace.backoff_of_error(self.blames))
        self.blames += 1

    def try_again(self) -> None:
        """Ask again for a bond that KIS refused, as soon as the wait after its last error is over.

        That wait doubles, so that a list that is edited again and again makes no loop. After it,
        the bond claims a place however long the wait was.
        """
        if self.retry_wait and self.failed_at is not None:
            self.retry_wait = min(PLACE_CLAIMED_SECONDS, max(0.0, self.not_before - self.failed_at))
            if not self.is_rejected:
                self.code = self.message = None

    def claim_place(self, now: float) -> None:
        """Count the bond among the others again once its wait is over, unless the wait was long."""
        if self.retry_wait <= PLACE_CLAIMED_SECONDS and now >= max(self._retry_at, self.not_before):
            self.retry_wait = 0.0

    @property
    def is_rejected(self) -> bool:
        """Whether KIS refused the bond, and other bonds may have its place."""
        return self.retry_wait > PLACE_KEPT_SECONDS

    def is_refused(self, now: float) -> bool:
        """Whether KIS refused the bond, and it is not time to ask again."""
        return self.is_rejected and now < self._retry_at

    @property
    def _retry_at(self) -> float:
        return self.retry_wait + (float("-inf") if self.failed_at is None else self.failed_at)

    def is_past(self, now: float) -> bool:
        """Whether what happened to a bond that nobody wants says nothing any more."""
        was_refused_at = float("-inf") if self.failed_at is None else self.failed_at
        return now >= max(self.blamed_until, was_refused_at + REFUSED_SECONDS)

    # Requests.

    def send(self, request: Request) -> None:
        """Record that we sent this request.

        A probe registers a bond that KIS holds for all we know, so the bond still counts as held.
        """
        if self.latest != request.tr_type:
            self.superseded += self.unanswered
            self.unanswered = []
        is_probe = request.tr_type == REGISTER and self.held is Held.YES
        self.latest, self.awaited = request.tr_type, request
        self.held = Held.YES if is_probe else Held.MAYBE
        self.unanswered.append(request)
        if request.tr_type == REGISTER:
            self.found_full = False

    def give_up_lost(self, now: float, pace: Pace) -> None:
        """Stop expecting a reply that did not come within `pace.lost_after`: it must be lost."""
        self.unanswered = [request for request in self.unanswered if now < request.sent_at + pace.lost_after]
        self.superseded = [request for request in self.superseded if now < request.sent_at + pace.lost_after]

    def stop_awaiting(self, now: float, pace: Pace) -> bool:
        """Stop waiting for an overdue reply; return whether it was overdue.

        We may then ask about the bond again.
        """
        if not self.awaited or now < self.awaited.sent_at + pace.reply_timeout:
            return False
        self.is_doubted = False
        was_probe, self.awaited = self._is_probed, None
        if was_probe:
            return False  # it is not repeated: KIS blocks clients that register again and again
        # The first time, we ask again at once. Before each later repetition we wait longer.
        backoff = pace.backoff if self.failed_at is None else pace.backoff_of_error
        self.not_before = now + (backoff(self.failures - 1) if self.failures else 0.0)
        self.failures += 1
        self._count_failure(now)
        return True

    def lost_at(self, pace: Pace) -> list[float]:
        """Return when the missing replies count as lost."""
        return [request.sent_at + pace.lost_after for request in self.superseded + self.unanswered]

    @property
    def is_suspicious(self) -> bool:
        """Whether an error that names no bond may be about this one; a held bond stays innocent."""
        return self.awaited is not None and self.held is not Held.YES

    @property
    def _is_probed(self) -> bool:
        return self.held is Held.YES and self.awaited is not None and self.awaited.tr_type == REGISTER

    def waits(self, now: float) -> list[float]:
        """Return when the waits end that keep us from asking for the bond."""
        return [at for at in (self.not_before, self._retry_at) if at > now]

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
        self.failed_at = self.code = self.message = None
        self.retry_wait = 0.0
        self.latest_failure_at, self.failed_requests, self.found_full = float("-inf"), 0, False
        self.blames, self.blamed_until = 0, float("-inf")
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
        if self.failed_at is not None or self.found_full:
            # Keep the wait after an error or a lack of room. Without the wait, we would register
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
        if self._is_probed:
            # An error says nothing about a bond that KIS holds, and asking again would be a loop.
            del self.unanswered[:1]
            self.awaited = None
            return None
        was_unanswered, was_superseded = self.may_get_reply, bool(self.superseded)
        known = self._remove_failed()
        # The error may answer an earlier request. Then it says nothing about the bond's new state.
        is_old = self.held is Held.NO or self.latest == RELEASE or was_superseded
        if self.awaited is None and (is_old or (was_unanswered and self.held is Held.YES)):
            return None
        self.awaited = None
        self._count_failure(now)
        if self.latest == RELEASE:
            self.not_before = now + pace.backoff(self.failures)
            self.failures += 1
            return Reaction.RETRY
        self.held = Held.MAYBE if reply.rt_cd == SUCCESS else known
        self.code, self.message = reply.msg_cd, reply.msg1
        self.retry_wait = 0.0
        # A lack of room says nothing about the next session, unless it ends this one.
        if what is Reaction.FULL and reply.rt_cd != ENDS_SESSION:
            self.not_before = now + pace.backoff(self.failures)
            self.failures += 1
        else:
            self._note_error(now, pace, REFUSED_SECONDS if what is Reaction.REFUSE else 0.0)
        if what is Reaction.FULL:
            # If this error answers a superseded request, KIS may have got room after that request.
            # (A refusal is valid whichever request it answers.)
            if was_superseded:
                return Reaction.RETRY
            self.found_full = True
        return what

    def _count_failure(self, now: float) -> None:
        self.latest_failure_at = now
        self.failed_requests += 1

    def _note_error(self, now: float, pace: Pace, least: float) -> None:
        """Set the waits after an error: longer each time, and at least `least` seconds.

        If a list newly wants the bond, `least` does not apply. A bond that KIS may hold keeps its
        place if the error may pass, because its ticks may go on.
        """
        wait = pace.backoff_of_error(self.failures)
        if self.failed_at is None or not self.is_past(now):
            self.failures += 1  # an attempt in half an hour is no loop
        self.failed_at, self.not_before = now, now + wait
        self.retry_wait = max(least, wait) if least or self.held is Held.NO else 0.0

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
        if self.is_rejected:
            return RegistrationView("REJECTED", self.code, self.message)
        if (self.found_full and not self.awaited) or (is_beyond_room and self.held is Held.NO):
            return RegistrationView("WAITING_CAPACITY", self.code, self.message)
        return RegistrationView("PENDING", self.code, self.message)
