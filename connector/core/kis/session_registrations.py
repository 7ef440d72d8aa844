"""All bonds of one session: which should be held, which KIS holds, and which request comes next.

`want` says which bonds should be held. Replies say which bonds KIS holds. A bond counts as held if
we are in doubt. Times are monotonic seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connector.core.bonds.isin import has_shape
from connector.core.kis.bond_registration import BondRegistration, Held, Request
from connector.core.kis.damping import Damping
from connector.core.kis.failure_limit import FIRST_FAILURES_AN_HOUR, REPEATED_FAILURES_AN_HOUR, FailureLimit
from connector.core.kis.registration_views import registration_views
from connector.core.kis.reply import REGISTER, RELEASE, TR_ID, UNNAMED
from connector.core.kis.reply_codes import SUCCESS, Reaction, reaction
from connector.core.kis.session_limit import SessionLimit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connector.core.kis.bond_registration import RegistrationView
    from connector.core.kis.pace import Pace
    from connector.core.kis.reply import Reply, TrType

# More bonds than any session is given. Above this number, we only count replies about bonds that
# we never requested, and do not remember those bonds.
MOST_BONDS: Final = 1000


class SessionRegistrations:
    """The bonds of one slot, session after session; `begin` starts each session."""

    def __init__(self, pace: Pace, learned_limit: int | None = None) -> None:
        self._pace = pace
        self._bonds: dict[str, BondRegistration] = {}
        self._wanted: dict[str, None] = {}
        self._damping = Damping()
        self._first_failures = FailureLimit(FIRST_FAILURES_AN_HOUR)
        self._repeated_failures = FailureLimit(REPEATED_FAILURES_AN_HOUR)
        # An error that named no bond may be about any of these, so we ask about one at a time.
        self._suspects: set[str] = set()
        self._is_leaving = False
        self.next_request_at = float("-inf")
        self._limit = SessionLimit(pace.session_capacity, learned_limit)
        self._key_number = 0
        self.unsolicited = 0

    # What is wanted.

    def want(self, isins: Iterable[str]) -> None:
        """Set the bonds this session should hold, the most important first."""
        self._wanted = dict.fromkeys(isins)
        for isin in self._wanted:
            if isin in self._bonds:
                self._bonds[isin].unwanted_since = None
        self._suspects = {isin for isin in self._suspects if isin in self._wanted or isin in self._bonds}

    def leave(self) -> None:
        """Want no bond from now on, and let no bond rest before its release."""
        self.want(())
        self._is_leaving = True

    def retry_rejected(self, isins: Iterable[str]) -> None:
        """Try these bonds again if KIS refused them: a new control record names them."""
        for isin in isins:
            if isin in self._bonds:
                self._bonds[isin].try_again()

    @property
    def wanted(self) -> Sequence[str]:
        """The bonds this session should hold, the most important first."""
        return tuple(self._wanted)

    # The session's life.

    def begin(self, now: float) -> None:
        """Start a session that holds nothing; it tries to pass the learned limit after an hour."""
        self.end(now)
        for bond in self._bonds.values():
            bond.found_full = False
        self._bonds = {
            isin: bond for isin, bond in self._bonds.items() if isin in self._wanted or not bond.is_past(now)
        }
        self._suspects &= self._wanted.keys()
        self.next_request_at = now
        self._key_number = 0
        self._limit.begin(now)

    def end(self, now: float, *, is_unexplained: bool = False) -> None:
        """End the session, but keep the suspects for the next session.

        If nothing else explains the end, any bond that KIS did not answer may have caused it. We
        blame it if it is the only one.
        """
        cut_off = [bond for bond in self._bonds.values() if bond.awaited]
        is_to_blame = is_unexplained and len(cut_off) == 1
        for bond in cut_off:
            bond.is_doubted = bond.is_doubted or (is_unexplained and bond.is_suspicious)
            if is_to_blame and self._confirmed_count():
                bond.blame(now, self._pace)
        for bond in self._bonds.values():
            limit = self._failure_limit(bond)
            if bond.end_session(now, self._pace, is_to_blame=is_to_blame):
                limit.count(now)

    def change_key(self) -> None:
        """Record that the approval key changed, so that a refusal of an older key is recognized."""
        self._key_number += 1

    # What to send.

    def advance(self, now: float) -> None:
        """Record what is overdue and unwanted; call this before `is_due` and `send_next`."""
        self._limit.advance(self._confirmed_count(), now)
        for isin, bond in self._bonds.items():
            bond.give_up_lost(now, self._pace)
            bond.claim_place(now)
            limit = self._failure_limit(bond)
            if bond.stop_awaiting(now, self._pace):
                limit.count(now)
            if bond.held and isin not in self._wanted:
                bond.unwanted_since = now if bond.unwanted_since is None else bond.unwanted_since
                self._damping.note_unwanted(isin, now)

    def is_due(self, now: float) -> bool:
        """Whether `send_next` would return a request."""
        return now >= self.next_request_at and self._choose(now) is not None

    def send_next(self, now: float) -> tuple[TrType, str] | None:
        """Return the request that is due and record it as sent, or return None if none is due."""
        if now < self.next_request_at or (chosen := self._choose(now)) is None:
            return None
        tr_type, isin = chosen
        bond = self._bonds.setdefault(isin, BondRegistration())
        if tr_type == RELEASE and bond.latest != RELEASE and isin not in self._wanted:
            self._damping.count_release(isin, now, self._rested_at(isin, bond, now))
        bond.send(Request(tr_type, now, self._key_number, bond.held))
        self.next_request_at = now + self._pace.register_interval
        return chosen

    def probeable(self) -> list[str]:
        """Return the wanted bonds that KIS holds for all we know, if no reply about them is due."""
        bonds = [(isin, self._bonds[isin]) for isin in self._wanted if isin in self._bonds]
        return [isin for isin, bond in bonds if bond.held is Held.YES and not bond.may_get_reply]

    def send_probe(self, isin: str, now: float) -> None:
        """Record that we ask for a bond that KIS holds for all we know."""
        self._bonds[isin].send(Request(REGISTER, now, self._key_number, Held.YES))
        self.next_request_at = now + self._pace.register_interval

    def doubt_others(self, isin: str) -> list[str]:
        """Doubt that KIS holds any bond except this one; return the bonds to ask for."""
        held = [other for other in self.probeable() if other != isin]
        for other in held:
            self._bonds[other].held = Held.MAYBE
        return held

    def next_deadline(self, now: float) -> float | None:
        """Return when a request may become due, or None if it takes a reply or a new wish first."""
        try_more_at = self._limit.try_more_at(self._confirmed_count())
        times = [] if try_more_at is None else [try_more_at]
        times += [bond.awaited.sent_at + self._pace.reply_timeout for bond in self._bonds.values() if bond.awaited]
        if self._choose(now) is not None:
            times.append(self.next_request_at)
        else:
            times += [at for bond in self._bonds.values() if not bond.awaited for at in bond.waits(now)]
            times += [
                self._rested_at(isin, bond, now) for isin, bond in self._bonds.items() if self._is_resting(isin, now)
            ]
            times += [rest for isin in self._wanted if (rest := self._damping.quiet_until(isin)) > now]
            limits = self._first_failures, self._repeated_failures
            times += [at for limit in limits if (at := limit.passed_at(now)) > now]
            if self._suspects:
                times += [at for bond in self._bonds.values() for at in bond.lost_at(self._pace)]
        return min(times, default=None)

    def _choose(self, now: float) -> tuple[TrType, str] | None:
        """Return the next request; releases come before registrations, unless they failed."""
        outstanding = self._outstanding() if self._suspects else []
        if len(outstanding) > 1 or (self._is_testing and not self._is_leaving):
            return None
        releasable = [
            isin
            for isin, bond in self._bonds.items()
            if bond.held and not self._should_hold(isin, bond, now)
            if self._may_ask(isin, outstanding, now) and not self._is_resting(isin, now)
        ]
        release, request = min(releasable, key=self._turn, default=None), self._choose_wanted(outstanding, now)
        if release is not None and (request is None or self._turn(release) <= self._turn(request[1])):
            return RELEASE, release
        return request

    def _choose_wanted(self, outstanding: list[str], now: float) -> tuple[TrType, str] | None:
        room = self.limit - self.held_count
        releasing = sum(bond.awaited is not None and bond.awaited.tr_type == RELEASE for bond in self._bonds.values())
        for isin in sorted(self._wanted, key=self._turn):
            if not self._may_ask(isin, outstanding, now) or self._damping.quiet_until(isin) > now:
                continue
            if self._may_register(isin, room, now):
                is_doubted = isin in self._bonds and self._bonds[isin].is_doubted
                return None if is_doubted and self._is_awaiting else (REGISTER, isin)
            if self._may_register(isin, 1, now):
                releasing -= 1
                if releasing < 0 and (leaving := self._longest_resting(outstanding, now)) is not None:
                    return RELEASE, leaving
        return None

    def _turn(self, isin: str) -> tuple[int, bool, float]:
        """By what bonds take turns: those that failed less often, or longer ago, come first.

        A bond that may have ended a session is asked for alone, and so after the others.
        """
        bond = self._bonds.get(isin)
        if bond is None or bond.found_full:
            return 0, False, float("-inf")
        return bond.failed_requests, bond.is_doubted, bond.latest_failure_at

    def _failure_limit(self, bond: BondRegistration | None) -> FailureLimit:
        """Return what limits the requests about a bond that did or did not fail before."""
        return self._repeated_failures if bond and bond.failed_requests else self._first_failures

    def _may_ask(self, isin: str, outstanding: list[str], now: float) -> bool:
        bond = self._bonds.get(isin)
        if outstanding not in ([], [isin]) or (bond and (bond.awaited or bond.not_before > now)):
            return False
        limit = self._failure_limit(bond)
        if not limit.is_reached(now):
            return True
        return now >= limit.passed_at(now) and not self._is_awaiting

    def _may_register(self, isin: str, room: int, now: float) -> bool:
        bond = self._bonds.get(isin)
        if bond is None or bond.held is Held.NO:
            return room > 0 and not (bond and bond.is_refused(now))
        return bond.held is Held.MAYBE and self._should_hold(isin, bond, now)

    def _should_hold(self, isin: str, bond: BondRegistration, now: float) -> bool:
        is_full = bond.found_full and bond.held is Held.MAYBE
        return isin in self._wanted and not bond.is_refused(now) and not is_full

    @property
    def _is_awaiting(self) -> bool:
        return any(bond.awaited for bond in self._bonds.values())

    @property
    def _is_testing(self) -> bool:
        """Whether KIS has yet to answer for a bond that may have ended a session."""
        return any(bond.is_doubted and bond.awaited for bond in self._bonds.values())

    def _outstanding(self) -> list[str]:
        return [isin for isin, bond in self._bonds.items() if bond.may_get_reply]

    # A bond that lists add and remove again and again rests before we release it.

    def _is_resting(self, isin: str, now: float) -> bool:
        """Whether we delay a bond's release because lists add and remove the bond repeatedly."""
        bond = self._bonds[isin]
        is_unwanted = bool(bond.held) and isin not in self._wanted
        return not self._is_leaving and is_unwanted and self._rested_at(isin, bond, now) > now

    def _rested_at(self, isin: str, bond: BondRegistration, now: float) -> float:
        return (now if bond.unwanted_since is None else bond.unwanted_since) + self._damping.rest(isin, now)

    def _longest_resting(self, outstanding: list[str], now: float) -> str | None:
        """Return the resting bond that has to give up its place first, or None if there is none."""
        resting = [
            isin for isin in self._bonds if self._is_resting(isin, now) and self._may_ask(isin, outstanding, now)
        ]
        return min(resting, key=lambda isin: self._rested_at(isin, self._bonds[isin], now), default=None)

    # What KIS replies.

    def receive(self, reply: Reply, now: float) -> tuple[Reaction, str | None] | None:
        """Handle a reply; return its reaction and bond, or None if we did not wait for the reply.

        OPSP8996 is about the session, so it is returned in any case, without a bond. An error that
        names no bond belongs to the only bond that may still get a reply. If several bonds may get
        one, we blame none of them. Then we ask about one bond at a time until each has its answer.
        """
        for bond in self._bonds.values():
            bond.give_up_lost(now, self._pace)
        what = reaction(reply)
        if what is Reaction.IN_USE:
            return what, None
        isin = self._addressee(reply, what)
        if isin is None:
            return (what, None) if self._refuses_this_key(reply, what) else None
        bond = self._bonds[isin]
        is_news = was_awaited = bool(bond.awaited)
        bond.is_doubted = False
        match what:
            case Reaction.REGISTERED:
                self._receive_registered(isin, bond)
            case Reaction.RELEASED:
                if bond.confirm_not_held(released=reply.rt_cd == SUCCESS):
                    self._suspects.discard(isin)
            case Reaction.REISSUE:
                return (what, isin) if bond.refuse_key(reply, self._key_number) else None
            case _:
                is_news = self._receive_error(isin, bond, reply, what, now) or was_awaited
        return (what, isin) if is_news else None

    def _addressee(self, reply: Reply, what: Reaction) -> str | None:
        """Return the bond that a reply is about, or None; count a reply that fits no request."""
        isin = reply.tr_key
        if reply.tr_id in (TR_ID, *UNNAMED) and isin not in UNNAMED:
            if isin not in self._bonds:
                self.unsolicited += 1
                if what is not Reaction.REGISTERED or not has_shape(isin) or len(self._bonds) >= MOST_BONDS:
                    return None
                self._bonds[isin] = BondRegistration()
            return isin
        outstanding = self._outstanding()
        if reply.rt_cd == SUCCESS or reply.tr_id not in (TR_ID, *UNNAMED) or not outstanding:
            self.unsolicited += 1
            return None
        if len(outstanding) == 1:
            return outstanding[0]
        self._suspects.update(isin for isin in outstanding if self._bonds[isin].is_suspicious)
        return None

    def _refuses_this_key(self, reply: Reply, what: Reaction) -> bool:
        awaited = [bond.awaited for bond in self._bonds.values() if bond.awaited]
        is_unnamed_refusal = what is Reaction.REISSUE and reply.tr_key in UNNAMED and bool(awaited)
        return is_unnamed_refusal and all(request.key_number == self._key_number for request in awaited)

    def _receive_registered(self, isin: str, bond: BondRegistration) -> None:
        if bond.confirm_held():
            self._suspects.discard(isin)
            self._limit.confirm(self._confirmed_count())

    def _receive_error(self, isin: str, bond: BondRegistration, reply: Reply, what: Reaction, now: float) -> bool:
        """Handle an error; return whether it says something about the bond."""
        sent_at = bond.unanswered[0].sent_at if bond.unanswered else now
        if bond.awaited is None:
            self.unsolicited += 1
        limit = self._failure_limit(bond)
        proved = bond.fail(reply, what, now, self._pace)
        if proved is None:
            return False
        limit.count(now)
        self._suspects.discard(isin)
        if proved is Reaction.FULL:
            self._learn_limit(isin, sent_at, now)
        return True

    def _learn_limit(self, refused: str, sent_at: float, now: float) -> None:
        """Set the limit to the most bonds that KIS may have held when it had no room for this one.

        If the limit is too high, KIS refuses the next bond above the real one, and we learn again.
        """
        # If no bond is confirmed, the number says nothing. We try the bond again with back-off.
        if self._confirmed_count():
            held = (bond.may_have_been_held(sent_at) for isin, bond in self._bonds.items() if isin != refused)
            self._limit.learn(sum(held), now)

    # What others read.

    def is_slowed(self, now: float) -> bool:
        """Whether requests go out one by one, because so many failed within an hour."""
        return self._first_failures.is_reached(now) or self._repeated_failures.is_reached(now)

    @property
    def limit(self) -> int:
        """How many bonds the session may hold."""
        return self._limit.value

    def knows(self, isin: str) -> bool:
        """Whether we asked KIS about this bond, or KIS said that it registered it."""
        return isin in self._bonds

    def may_get_reply(self, isin: str) -> bool:
        """Whether KIS may still reply to a request about this bond."""
        return isin in self._bonds and self._bonds[isin].may_get_reply

    @property
    def held_count(self) -> int:
        """How many bonds KIS holds for us, or may hold."""
        return sum(bond.held > Held.NO for bond in self._bonds.values())

    @property
    def active_count(self) -> int:
        """How many wanted bonds KIS has confirmed."""
        return sum(isin in self._wanted and bond.held is Held.YES for isin, bond in self._bonds.items())

    def _confirmed_count(self) -> int:
        return sum(bond.held is Held.YES for bond in self._bonds.values())

    def view(self) -> Mapping[str, RegistrationView]:
        """Return each bond that is wanted, still held, or waiting because the session was full."""
        return registration_views(self._wanted, self._bonds, self.limit)
