"""What KIS holds for us on one session, bond by bond, and which request comes next.

Desired against actual: `want` says what should be held, replies say what is. In doubt a bond counts as held, and every doubt is settled by
asking again: KIS answers OPSP0002 where it holds the bond and OPSP0003 where it does not. Times are monotonic seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Literal

from connector.core.reaction import SUCCESS, Reaction, reaction
from connector.core.reply import REGISTER, RELEASE, TR_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connector.core.reply import Reply, TrType

# A refusal with rt_cd 9 that KIS follows by dropping the socket so soon cost every other bond its session.
DROP_AFTER_REFUSAL_SECONDS: Final = 5.0
HELD_BACK_SECONDS: Final = 60.0
HELD_BACK_MAX_SECONDS: Final = 3600.0

_NOBODY: Final = ("", "(null)")
_ISIN: Final = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")

State = Literal["PENDING", "ACTIVE", "REJECTED", "WAITING_CAPACITY"]


@dataclass(frozen=True, slots=True)
class RegistrationView:
    """One wanted bond as the status topic shows it; `code` and `message` are KIS's own."""

    state: State
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Pace:
    """The settings `kis.*` that bound requests; seconds, and registrations per session."""

    register_interval: float = 0.2
    reply_timeout: float = 5.0
    session_capacity: int = 41
    retry_min: float = 1.0
    retry_max: float = 60.0


class Held(IntEnum):
    """What we know about KIS holding a bond on this session."""

    NO = 0
    MAYBE = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request without its reply; `generation` counts the approval keys of the session."""

    tr_type: TrType
    at: float
    generation: int


@dataclass(frozen=True, slots=True)
class _Refusal:
    rt_cd: str
    at: float
    held_back_until: float | None = None


@dataclass(slots=True)
class _Bond:
    """The actual state of one bond.

    `unanswered` counts requests of the latest kind whose reply is overdue. When the other kind is sent they become `ghosts`: a reply of
    their kind may be theirs, so it confirms nothing.
    """

    held: Held = Held.NO
    asked: _Asked | None = None
    latest: TrType | None = None
    unanswered: int = 0
    ghosts: dict[TrType, int] = field(default_factory=lambda: {REGISTER: 0, RELEASE: 0})
    refusal: _Refusal | None = None
    full: bool = False
    failures: int = 0
    not_before: float = float("-inf")
    code: str | None = None
    message: str | None = None

    def new_session(self) -> None:
        """Forget everything but a refusal and its words: registrations end with their session."""
        self.held, self.asked, self.latest, self.unanswered, self.failures = Held.NO, None, None, 0, 0
        self.ghosts = {REGISTER: 0, RELEASE: 0}
        self.not_before = float("-inf")

    def settle(self, held: Held) -> None:
        """Take over what KIS said for certain."""
        self.held, self.asked, self.failures, self.not_before = held, None, 0, float("-inf")
        self.code = self.message = None


class Registrations:
    """All bonds of one session; lives as long as its slot, and `begin` starts it over."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._bonds: dict[str, _Bond] = {}
        self._wanted: dict[str, None] = {}
        self._strikes: dict[str, int] = {}
        self._suspects: set[str] = set()
        self._next_at = float("-inf")
        self._learnt: int | None = None
        self.limit = pace.session_capacity
        self.generation = 0
        self.unsolicited = 0

    # What is wanted.

    def want(self, isins: Iterable[str]) -> None:
        """Say which bonds this session should hold, the most important first."""
        self._wanted = dict.fromkeys(isins)
        self._suspects = {isin for isin in self._suspects if isin in self._wanted or isin in self._bonds}

    def retry_rejected(self, isins: Iterable[str]) -> None:
        """Try these bonds again although KIS refused them: a new control record names them."""
        for isin in isins:
            self._strikes.pop(isin, None)
            if (bond := self._bonds.get(isin)) and bond.refusal:
                bond.refusal = bond.code = bond.message = None

    @property
    def wanted(self) -> Sequence[str]:
        """The bonds this session should hold, the most important first."""
        return tuple(self._wanted)

    # The session's life.

    def begin(self, now: float) -> None:
        """Start over on a new session, which holds nothing and may hold one more than the last limit learnt."""
        self.end(now)
        for bond in self._bonds.values():
            bond.full = False
            if not (bond.refusal and bond.refusal.held_back_until and bond.refusal.held_back_until > now):
                bond.refusal = bond.code = bond.message = None
        self._bonds = {isin: bond for isin, bond in self._bonds.items() if isin in self._wanted or bond.refusal}
        self._suspects &= self._wanted.keys()
        self._next_at = now
        self.generation = 0
        if self._learnt is not None:
            self.limit = min(self._learnt + 1, self._pace.session_capacity)

    def end(self, now: float, *, dropped: bool = False) -> None:
        """Take in that the session ended; KIS dropped it, or we closed it. Suspects stay suspects."""
        for isin, bond in self._bonds.items():
            refusal = bond.refusal
            if dropped and refusal and refusal.rt_cd == "9" and 0 <= now - refusal.at <= DROP_AFTER_REFUSAL_SECONDS:
                bond.refusal = self._strike(isin, refusal, now)
            bond.new_session()

    def _strike(self, isin: str, refusal: _Refusal, now: float) -> _Refusal:
        strikes = self._strikes[isin] = self._strikes.get(isin, 0) + 1
        if strikes == 1:
            return refusal
        held_back = min(HELD_BACK_MAX_SECONDS, HELD_BACK_SECONDS * 2.0 ** min(strikes - 2, 16))
        return _Refusal(refusal.rt_cd, refusal.at, now + held_back)

    # What to send.

    def next_request(self, now: float) -> tuple[TrType, str] | None:
        """Return the one request that is due and count it as sent, or None. Releases go before registrations."""
        self._expire(now)
        if now < self._next_at or (chosen := self._choose(now)) is None:
            return None
        tr_type, isin = chosen
        bond = self._bonds.setdefault(isin, _Bond())
        if bond.latest is not None and bond.latest != tr_type:
            bond.ghosts[bond.latest] += bond.unanswered
            bond.unanswered = 0
        bond.latest = tr_type
        bond.held = Held.MAYBE
        bond.asked = _Asked(tr_type, now, self.generation)
        self._next_at = now + self._pace.register_interval
        return chosen

    def is_due(self, now: float) -> bool:
        """Return whether `next_request` would return one."""
        self._expire(now)
        return now >= self._next_at and self._choose(now) is not None

    def next_deadline(self, now: float) -> float | None:
        """Return when `next_request` may have something to do; None: not before a reply or another wish."""
        times = [bond.asked.at + self._pace.reply_timeout for bond in self._bonds.values() if bond.asked]
        if self._choose(now) is not None:
            times.append(self._next_at)
        elif not (self._suspects and self._outstanding()):
            times += [bond.not_before for bond in self._bonds.values() if not bond.asked and bond.not_before > now]
        return min(times, default=None)

    def _choose(self, now: float) -> tuple[TrType, str] | None:
        if self._suspects and self._outstanding():
            return None
        for isin, bond in self._bonds.items():
            if bond.held and not bond.asked and not self._should_hold(isin, bond) and bond.not_before <= now:
                return RELEASE, isin
        room = self.limit - self.held
        # A bond whose refusal cost a session comes last, so that the others have begun to flow.
        for isin in sorted(self._wanted, key=self._strikes.__contains__) if self._strikes else self._wanted:
            candidate = self._bonds.get(isin)
            if candidate is None:
                if room > 0:
                    return REGISTER, isin
            elif self._may_register(isin, candidate, now) and (candidate.held or room > 0):
                return REGISTER, isin
        return None

    def _may_register(self, isin: str, bond: _Bond, now: float) -> bool:
        return not bond.asked and bond.held < Held.YES and bond.not_before <= now and self._should_hold(isin, bond)

    def _should_hold(self, isin: str, bond: _Bond) -> bool:
        return isin in self._wanted and not bond.refusal and not (bond.full and bond.held is Held.MAYBE)

    def _outstanding(self) -> list[str]:
        return [isin for isin, bond in self._bonds.items() if bond.asked]

    def _expire(self, now: float) -> None:
        for bond in self._bonds.values():
            if bond.asked and now >= bond.asked.at + self._pace.reply_timeout:
                bond.asked = None
                bond.unanswered += 1
                # The first repetition comes at once; a KIS that stays mute is asked less and less.
                bond.not_before = now + (self._backoff(bond.failures - 1) if bond.failures else 0.0)
                bond.failures += 1

    def _backoff(self, failures: int) -> float:
        return min(self._pace.retry_max, self._pace.retry_min * 2.0 ** min(failures, 16))

    # What was answered.

    def answered(self, reply: Reply, now: float) -> tuple[Reaction, str | None] | None:
        """Take in a reply; return what it called for and the bond it was about, or None when nothing hung on it.

        Replies are matched by (tr_id, tr_key). An error that names nobody belongs to the only outstanding request; among several nobody is
        blamed, and requests go one at a time until each of them is settled.
        """
        what = reaction(reply)
        if what is Reaction.IN_USE:
            return what, None
        isin = self._addressee(reply, what)
        if isin is None:
            return (what, None) if self._refuses_this_key(reply, what) else None
        bond = self._bonds[isin]
        was_asked = bond.asked
        match what:
            case Reaction.REGISTERED:
                self._registered(isin, bond)
            case Reaction.RELEASED:
                self._released(isin, bond)
            case Reaction.REISSUE:
                return (what, isin) if self._key_refused(bond, reply) else None
            case _:
                self._failed(isin, bond, reply, what, now)
        return (what, isin) if was_asked else None

    def _addressee(self, reply: Reply, what: Reaction) -> str | None:
        isin = reply.tr_key
        if reply.tr_id in (TR_ID, *_NOBODY) and isin not in _NOBODY:
            if isin not in self._bonds:
                self.unsolicited += 1
                if what is not Reaction.REGISTERED or not _ISIN.fullmatch(isin):
                    return None
                self._bonds[isin] = _Bond()
            return isin
        outstanding = self._outstanding()
        if reply.rt_cd == SUCCESS or reply.tr_id not in (TR_ID, *_NOBODY) or not outstanding:
            self.unsolicited += 1
            return None
        if len(outstanding) == 1:
            return outstanding[0]
        self._suspects.update(outstanding)
        return None

    def _refuses_this_key(self, reply: Reply, what: Reaction) -> bool:
        asked = [bond.asked for bond in self._bonds.values() if bond.asked]
        return (
            what is Reaction.REISSUE
            and reply.tr_key in _NOBODY
            and bool(asked)
            and all(request.generation == self.generation for request in asked)
        )

    def _key_refused(self, bond: _Bond, reply: Reply) -> bool:
        if bond.asked is None:
            return False
        current = bond.asked.generation == self.generation
        bond.asked = None
        bond.held = Held.MAYBE if bond.unanswered else Held.NO
        bond.code, bond.message = reply.msg_cd, reply.msg1
        return current

    def _registered(self, isin: str, bond: _Bond) -> None:
        if bond.ghosts[REGISTER]:
            bond.ghosts[REGISTER] -= 1
            bond.held = max(bond.held, Held.MAYBE)
        elif bond.latest == REGISTER:
            if bond.asked is None:
                bond.unanswered = max(0, bond.unanswered - 1)
            self._settle(isin, bond, Held.YES)
            bond.refusal = None
            bond.full = False
            self._strikes.pop(isin, None)
            self._learn_more()
        else:
            bond.held = max(bond.held, Held.MAYBE)

    def _released(self, isin: str, bond: _Bond) -> None:
        if bond.ghosts[RELEASE]:
            bond.ghosts[RELEASE] -= 1
        elif bond.latest == RELEASE:
            if bond.asked is None:
                bond.unanswered = max(0, bond.unanswered - 1)
            words = (bond.code, bond.message)
            self._settle(isin, bond, Held.NO)
            if bond.refusal or bond.full:
                bond.code, bond.message = words
        elif bond.held is Held.YES:
            bond.held = Held.MAYBE

    def _settle(self, isin: str, bond: _Bond, held: Held) -> None:
        bond.settle(held)
        self._suspects.discard(isin)

    def _failed(self, isin: str, bond: _Bond, reply: Reply, what: Reaction, now: float) -> None:
        if bond.asked is None:
            self.unsolicited += 1
            bond.unanswered = max(0, bond.unanswered - 1)
            if bond.held is Held.YES:
                bond.held = Held.MAYBE
            if bond.held is Held.NO or bond.latest == RELEASE:
                return
        self._suspects.discard(isin)
        bond.asked = None
        bond.not_before = now + self._backoff(bond.failures)
        bond.failures += 1
        if bond.latest == RELEASE:
            return
        bond.held = Held.MAYBE if bond.unanswered or reply.rt_cd == SUCCESS else Held.NO
        bond.code, bond.message = reply.msg_cd, reply.msg1
        if what is Reaction.REFUSE:
            bond.refusal = _Refusal(reply.rt_cd, now)
        elif what is Reaction.FULL:
            bond.full = True
            self._learn()

    def _learn(self) -> None:
        # With nothing confirmed the number says nothing; the bond is tried again with back-off.
        if confirmed := self._confirmed():
            self.limit = self._learnt = confirmed

    def _learn_more(self) -> None:
        confirmed = self._confirmed()
        self.limit = max(self.limit, confirmed)
        if self._learnt is not None:
            self._learnt = max(self._learnt, confirmed)

    # What others read.

    @property
    def held(self) -> int:
        """The number of bonds KIS holds for us, or may hold."""
        return sum(bond.held > Held.NO for bond in self._bonds.values())

    def _confirmed(self) -> int:
        return sum(bond.held is Held.YES for bond in self._bonds.values())

    def active(self) -> int:
        """Return the number of wanted bonds that KIS confirmed."""
        return sum(isin in self._wanted and bond.held is Held.YES for isin, bond in self._bonds.items())

    def view(self) -> Mapping[str, RegistrationView]:
        """Return every wanted bond, and those KIS had no room for in this session, wherever they are placed since."""
        seen: dict[str, RegistrationView] = {}
        wanted = {isin: self._bonds.get(isin) or _Bond() for isin in self._wanted}
        # What is held beyond the wish is about to be released.
        places = self.limit - sum(bond.held > Held.NO for bond in wanted.values())
        for isin, bond in wanted.items():
            seen[isin] = _view(bond, beyond=places <= 0)
            places -= bond.held is Held.NO and bond.refusal is None
        for isin, bond in self._bonds.items():
            if isin not in seen and bond.full:
                seen[isin] = _view(bond, beyond=True)
        return seen


def _view(bond: _Bond, *, beyond: bool) -> RegistrationView:
    if bond.held is Held.YES:
        return RegistrationView("ACTIVE", None, None)
    if bond.refusal:
        return RegistrationView("REJECTED", bond.code, bond.message)
    if bond.full and not bond.asked:
        return RegistrationView("WAITING_CAPACITY", bond.code, bond.message)
    if beyond and bond.held is Held.NO:
        return RegistrationView("WAITING_CAPACITY", None, None)
    return RegistrationView("PENDING", bond.code, bond.message)
