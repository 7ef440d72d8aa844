"""What KIS holds for us on one session, bond by bond, and which request comes next.

Desired against actual: `want` says what should be held, replies say what is. In doubt a bond counts as held, and every doubt is settled by
asking again: KIS answers OPSP0002 where it holds the bond and OPSP0003 where it does not. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Literal

from connector.core.bonds.isin import has_shape
from connector.core.kis.damping import Damping
from connector.core.kis.reaction import SUCCESS, Reaction, reaction
from connector.core.kis.reply import REGISTER, RELEASE, TR_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connector.core.kis.reply import Reply, TrType

# A refusal with rt_cd 9 that KIS follows by dropping the socket so soon cost every other bond its session.
DROP_AFTER_REFUSAL_SECONDS: Final = 5.0
HELD_BACK_SECONDS: Final = 60.0
HELD_BACK_MAX_SECONDS: Final = 3600.0
# A reply that did not come for so many reply timeouts after its request does not come at all.
LOST_AFTER_TIMEOUTS: Final = 3.0

_NOBODY: Final = ("", "(null)")

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
    """A request without its reply; `before` is what was known when it was sent, `generation` counts the approval keys of the session."""

    tr_type: TrType
    at: float
    generation: int
    before: Held


@dataclass(frozen=True, slots=True)
class _Refusal:
    rt_cd: str
    at: float
    held_back_until: float | None = None


@dataclass(slots=True)
class _Bond:
    """The actual state of one bond.

    `asked` is the request whose reply is waited for. `open` are the requests of the latest kind whose reply may still come; when the other
    kind is sent they become `ghosts`: a reply of their kind may be theirs, so it confirms nothing. Both are in the order of sending, and a
    reply strikes off the oldest it may belong to, so that what stays is never fewer, nor older, than what is on its way.
    """

    held: Held = Held.NO
    asked: _Asked | None = None
    latest: TrType | None = None
    open: list[_Asked] = field(default_factory=list)
    ghosts: list[_Asked] = field(default_factory=list)
    refusal: _Refusal | None = None
    full: bool = False
    unwanted_since: float | None = None
    let_go_at: float = float("-inf")
    failures: int = 0
    not_before: float = float("-inf")
    code: str | None = None
    message: str | None = None

    def new_session(self) -> None:
        """Forget everything but a refusal and its words: registrations end with their session."""
        self.held, self.asked, self.latest, self.failures = Held.NO, None, None, 0
        self.open, self.ghosts = [], []
        self.unwanted_since = None
        self.let_go_at = float("-inf")
        self.not_before = float("-inf")

    def send(self, request: _Asked) -> None:
        """Take in that the request leaves."""
        if self.latest != request.tr_type:
            self.ghosts += self.open
            self.open = []
        self.latest, self.asked, self.held = request.tr_type, request, Held.MAYBE
        self.open.append(request)

    def give_up(self, now: float, seconds: float) -> None:
        """Expect no more replies to requests as old as that."""
        self.open = [request for request in self.open if now < request.at + seconds]
        self.ghosts = [request for request in self.ghosts if now < request.at + seconds]

    def is_ghostly(self, tr_type: TrType) -> bool:
        """Strike off a ghost of this kind; return whether there was one."""
        ghost = next((ghost for ghost in self.ghosts if ghost.tr_type == tr_type), None)
        if ghost:
            self.ghosts.remove(ghost)
        return ghost is not None

    def may_have_been_held(self, before: float) -> bool:
        """Tell whether KIS may have held the bond when it came to a request of that time: it takes requests in their order."""
        if self.held is Held.MAYBE and self.open and self.open[0].at >= before:
            return self.open[0].before > Held.NO
        return self.held > Held.NO or self.let_go_at >= before

    def fail(self) -> Held:
        """Strike off the request an error belongs to, unless it may be a ghost's; return what is known of the bond then."""
        if self.ghosts or not self.open:
            return Held.MAYBE
        request = self.open.pop(0)
        return Held.MAYBE if self.open else request.before

    def settle(self, held: Held) -> None:
        """Take over what KIS said for certain."""
        del self.open[:1]
        self.held, self.asked, self.failures, self.not_before = held, None, 0, float("-inf")
        self.code = self.message = None


class Registrations:
    """All bonds of one session; lives as long as its slot, and `begin` starts it over."""

    def __init__(self, pace: Pace, learnt: int | None = None) -> None:
        self._pace = pace
        self._lost_after = LOST_AFTER_TIMEOUTS * pace.reply_timeout
        self._bonds: dict[str, _Bond] = {}
        self._wanted: dict[str, None] = {}
        self._strikes: dict[str, int] = {}
        self._damping = Damping()
        self._suspects: set[str] = set()
        self._is_leaving = False
        self._next_at = float("-inf")
        self._learnt = learnt if learnt is not None and 0 < learnt < pace.session_capacity else None
        self.limit = self._learnt or pace.session_capacity
        self.generation = 0
        self.unsolicited = 0

    # What is wanted.

    def want(self, isins: Iterable[str]) -> None:
        """Say which bonds this session should hold, the most important first."""
        self._wanted = dict.fromkeys(isins)
        for isin in self._wanted:
            if isin in self._bonds:
                self._bonds[isin].unwanted_since = None
        self._suspects = {isin for isin in self._suspects if isin in self._wanted or isin in self._bonds}

    def leave(self) -> None:
        """Want nothing more, for good: what rests is released, too."""
        self.want(())
        self._is_leaving = True

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
        self._take_in(now)
        if now < self._next_at or (chosen := self._choose(now)) is None:
            return None
        tr_type, isin = chosen
        bond = self._bonds.setdefault(isin, _Bond())
        if tr_type == RELEASE and bond.latest != RELEASE and isin not in self._wanted:
            self._damping.released(isin, now, self._rested_at(isin, bond, now))
        bond.send(_Asked(tr_type, now, self.generation, bond.held))
        if tr_type == REGISTER:
            bond.full = False
        self._next_at = now + self._pace.register_interval
        return chosen

    def is_due(self, now: float) -> bool:
        """Return whether `next_request` would return one."""
        self._take_in(now)
        return now >= self._next_at and self._choose(now) is not None

    def next_deadline(self, now: float) -> float | None:
        """Return when `next_request` may have something to do; None: not before a reply or another wish."""
        times = [bond.asked.at + self._pace.reply_timeout for bond in self._bonds.values() if bond.asked]
        if self._choose(now) is not None:
            times.append(self._next_at)
        else:
            times += [bond.not_before for bond in self._bonds.values() if not bond.asked and bond.not_before > now]
            times += [
                self._rested_at(isin, bond, now) for isin, bond in self._bonds.items() if self._lingers(isin, bond, now)
            ]
            times += [rest for isin in self._wanted if (rest := self._damping.quiet_until(isin)) > now]
            if self._suspects:
                times += [
                    request.at + self._lost_after
                    for bond in self._bonds.values()
                    for request in bond.ghosts + bond.open
                ]
        return min(times, default=None)

    def _choose(self, now: float) -> tuple[TrType, str] | None:
        alone = self._unanswered() if self._suspects else []
        if len(alone) > 1:
            return None
        for isin, bond in self._bonds.items():
            if (
                bond.held
                and not self._should_hold(isin, bond)
                and self._may_ask(isin, alone, now)
                and not self._lingers(isin, bond, now)
            ):
                return RELEASE, isin
        return self._choose_wanted(alone, now)

    def _choose_wanted(self, alone: list[str], now: float) -> tuple[TrType, str] | None:
        room = self.limit - self.held
        promised = sum(bond.asked is not None and bond.asked.tr_type == RELEASE for bond in self._bonds.values())
        # A bond whose refusal cost a session comes last, so that the others have begun to flow.
        for isin in sorted(self._wanted, key=self._strikes.__contains__) if self._strikes else self._wanted:
            if not self._may_ask(isin, alone, now) or self._damping.quiet_until(isin) > now:
                continue
            if self._may_register(isin, room):
                return REGISTER, isin
            if self._may_register(isin, 1):
                promised -= 1
                if promised < 0 and (leaving := self._most_rested(alone, now)) is not None:
                    return RELEASE, leaving
        return None

    def _may_ask(self, isin: str, alone: list[str], now: float) -> bool:
        bond = self._bonds.get(isin)
        return alone in ([], [isin]) and (bond is None or (not bond.asked and bond.not_before <= now))

    def _may_register(self, isin: str, room: int) -> bool:
        bond = self._bonds.get(isin)
        if bond is None or bond.held is Held.NO:
            return room > 0 and not (bond and bond.refusal)
        return bond.held is Held.MAYBE and self._should_hold(isin, bond)

    def _should_hold(self, isin: str, bond: _Bond) -> bool:
        return isin in self._wanted and not bond.refusal and not (bond.full and bond.held is Held.MAYBE)

    def _unanswered(self) -> list[str]:
        return [isin for isin, bond in self._bonds.items() if bond.ghosts or bond.open]

    # A bond that is wanted and unwanted in turns.

    def _lingers(self, isin: str, bond: _Bond, now: float) -> bool:
        """Tell whether the release of a bond waits, which it does while nobody needs its place."""
        return (
            not self._is_leaving
            and bool(bond.held)
            and isin not in self._wanted
            and self._rested_at(isin, bond, now) > now
        )

    def _rested_at(self, isin: str, bond: _Bond, now: float) -> float:
        return (now if bond.unwanted_since is None else bond.unwanted_since) + self._damping.rest(isin, now)

    def _most_rested(self, alone: list[str], now: float) -> str | None:
        """Return the bond that gives its place to another one, the most rested first; None where none lingers."""
        lingering = [
            isin
            for isin, bond in self._bonds.items()
            if self._lingers(isin, bond, now) and self._may_ask(isin, alone, now)
        ]
        return min(lingering, key=lambda isin: self._rested_at(isin, self._bonds[isin], now), default=None)

    def _note_unwanted(self, now: float) -> None:
        for isin, bond in self._bonds.items():
            if bond.held and isin not in self._wanted:
                bond.unwanted_since = now if bond.unwanted_since is None else bond.unwanted_since
                self._damping.unwanted(isin, now)

    # What time does.

    def _take_in(self, now: float) -> None:
        self._expire(now)
        self._note_unwanted(now)

    def _expire(self, now: float) -> None:
        for bond in self._bonds.values():
            bond.give_up(now, self._lost_after)
            if bond.asked and now >= bond.asked.at + self._pace.reply_timeout:
                bond.asked = None
                # The first repetition comes at once; a KIS that stays mute is asked less and less.
                bond.not_before = now + (self._backoff(bond.failures - 1) if bond.failures else 0.0)
                bond.failures += 1

    def _backoff(self, failures: int) -> float:
        return min(self._pace.retry_max, self._pace.retry_min * 2.0 ** min(failures, 16))

    # What was answered.

    def answered(self, reply: Reply, now: float) -> tuple[Reaction, str | None] | None:
        """Take in a reply; return what it called for and the bond it was about, or None when nothing hung on it.

        Replies are matched by (tr_id, tr_key). An error that names nobody belongs to the only bond whose reply may still come; among
        several nobody is blamed, and bonds are asked one at a time until each of those that wait is settled.
        """
        for bond in self._bonds.values():
            bond.give_up(now, self._lost_after)
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
                self._released(isin, bond, reply)
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
                if what is not Reaction.REGISTERED or not has_shape(isin):
                    return None
                self._bonds[isin] = _Bond()
            return isin
        unanswered = self._unanswered()
        if reply.rt_cd == SUCCESS or reply.tr_id not in (TR_ID, *_NOBODY) or not unanswered:
            self.unsolicited += 1
            return None
        if len(unanswered) == 1:
            return unanswered[0]
        self._suspects.update(isin for isin in unanswered if self._bonds[isin].asked)
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
        known = bond.fail()
        if bond.asked is None:
            return False
        current = bond.asked.generation == self.generation
        bond.asked = None
        bond.held = known
        bond.code, bond.message = reply.msg_cd, reply.msg1
        return current

    def _registered(self, isin: str, bond: _Bond) -> None:
        if bond.is_ghostly(REGISTER) or bond.latest != REGISTER:
            bond.held = max(bond.held, Held.MAYBE)
            # The ack may be that of any of these: an error to come does not say that the bond is not held.
            bond.open = [replace(request, before=Held.MAYBE) for request in bond.open]
            return
        self._settle(isin, bond, Held.YES)
        bond.refusal = None
        bond.full = False
        self._strikes.pop(isin, None)
        self._learn_more()

    def _released(self, isin: str, bond: _Bond, reply: Reply) -> None:
        if bond.is_ghostly(RELEASE):
            return
        if reply.rt_cd == SUCCESS and bond.open:  # else KIS says that it held nothing to be released
            bond.let_go_at = bond.open[0].at
        if bond.latest == RELEASE:
            kept = (bond.code, bond.message, bond.failures, bond.not_before)
            self._settle(isin, bond, Held.NO)
            if bond.refusal or bond.full:
                # A bond KIS has no room for is not registered at once again: that would be a loop.
                bond.code, bond.message, bond.failures, bond.not_before = kept
        elif bond.held is Held.YES:
            bond.held = Held.MAYBE

    def _settle(self, isin: str, bond: _Bond, held: Held) -> None:
        bond.settle(held)
        self._suspects.discard(isin)

    def _failed(self, isin: str, bond: _Bond, reply: Reply, what: Reaction, now: float) -> None:
        explained, haunted = bool(bond.ghosts or bond.open), bool(bond.ghosts)
        asked_at = bond.open[0].at if bond.open else now
        known = bond.fail()
        if bond.asked is None:
            self.unsolicited += 1
            # The error of an earlier request says nothing about a bond confirmed since.
            if bond.held is Held.NO or bond.latest == RELEASE or haunted or (explained and bond.held is Held.YES):
                return
        self._suspects.discard(isin)
        bond.asked = None
        bond.not_before = now + self._backoff(bond.failures)
        bond.failures += 1
        if bond.latest == RELEASE:
            return
        bond.held = Held.MAYBE if reply.rt_cd == SUCCESS else known
        bond.code, bond.message = reply.msg_cd, reply.msg1
        if what is Reaction.REFUSE:
            bond.refusal = _Refusal(reply.rt_cd, now)
        # "No room" may be a ghost's, and old; a refusal is as true of any other request.
        elif what is Reaction.FULL and not haunted:
            bond.full = True
            self._learn(isin, asked_at)

    def _learn(self, refused: str, asked_at: float) -> None:
        """Learn what KIS held at most when it refused; where that is too much, the next try in the room left will tell."""
        # With nothing confirmed the number says nothing; the bond is tried again with back-off.
        if self._confirmed():
            holding = (bond.may_have_been_held(asked_at) for isin, bond in self._bonds.items() if isin != refused)
            self.limit = self._learnt = sum(holding)

    def _learn_more(self) -> None:
        confirmed = self._confirmed()
        self.limit = max(self.limit, confirmed)
        if self._learnt is not None:
            self._learnt = max(self._learnt, confirmed)

    # What others read.

    @property
    def places(self) -> int:
        """The number of bonds the session can be given: those KIS has room for, and wanted ones that it refused, for they take none.

        At most every place is given twice, so that a long list of nonsense is not tried to its end.
        """
        refused = sum(
            1 for isin in self._wanted if (bond := self._bonds.get(isin)) and bond.refusal and bond.held is Held.NO
        )
        return self.limit + min(refused, self.limit)

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
        """Return every wanted bond, those KIS still holds though nobody wants them, and those it had no room for in this session."""
        seen: dict[str, RegistrationView] = {}
        wanted = {isin: self._bonds.get(isin) or _Bond() for isin in self._wanted}
        # What is held beyond the wish is about to be released.
        places = self.limit - sum(bond.held > Held.NO for bond in wanted.values())
        for isin, bond in wanted.items():
            seen[isin] = _view(bond, beyond=places <= 0)
            places -= bond.held is Held.NO and bond.refusal is None
        for isin, bond in self._bonds.items():
            if isin not in seen and (bond.full or bond.held):
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
