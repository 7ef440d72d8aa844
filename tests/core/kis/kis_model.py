"""A tiny KIS in virtual time: room for few bonds, one refused name, lost and slow replies."""

import json
from dataclasses import replace
from heapq import heappop, heappush

from connector.core.kis.backoff import Backoff, Waits
from connector.core.kis.effect import Close, ReissueKey, Send
from connector.core.kis.pace import Pace
from connector.core.kis.probe import Lost, Probe
from connector.core.kis.reply import parse
from connector.core.kis.session import Session
from connector.core.kis.session_registrations import SessionRegistrations

A, B, C, D, REFUSED = "KR103502GA34", "KR103502GD31", "KR6000000001", "KR6000000002", "KR9999999999"
LIMIT = 1
PERIOD = 300.0  # seconds between two probes
PACE = Pace(register_interval=0.2, reply_timeout=5.0, session_capacity=41, retry_min=1.0, retry_max=60.0)
WAITS = Waits(reconnect_min=1.0, reconnect_max=60.0, in_use_wait=30.0, in_use_wait_max=600.0, silence_timeout=45.0)


def reply(code, tr_key, rt_cd=None, tr_id="H0BJCNT0"):
    """Return a reply of KIS's shape."""
    rt_cd = rt_cd or ("0" if code in ("OPSP0000", "OPSP0001") else "1")
    return json.dumps(
        {"header": {"tr_id": tr_id, "tr_key": tr_key}, "body": {"rt_cd": rt_cd, "msg_cd": code, "msg1": "text"}}
    )


def unchanged(reply):
    """Return the reply as it is: these tests know no secrets."""
    return reply


class World:
    """One session against the tiny KIS.

    `fates` says what happens to each reply: "now", "lost", or seconds of delay. With "trouble", KIS
    does not carry out the request and answers with an error. With "drop", the connection ends just
    after the reply, and with "unread" before the reply.
    """

    def __init__(self, fates=(), limit=LIMIT, *, anonymous=False):
        self.now = 0.0
        self.limit = limit
        self.anonymous = anonymous
        self.fates = list(fates)
        self.held: set[str] = set()
        self.mail: list[tuple[float, int, int, str | None]] = []
        self.requests: list[tuple[float, str, str]] = []
        self.connection = self.letters = 0
        self.session = Session(0, "P", PACE, Backoff(WAITS, lambda: 0.5), clean=unchanged)
        # What KIS answers about a bond; nothing if None.
        self.errors: dict[str, str | None] = {}
        # After an error about one of these bonds, KIS ends the connection at once.
        self.dropping: set[str] = set()
        # If set, KIS says so only the first time, and then ends the connection without a word.
        self.is_terse = False
        self.told: set[str] = set()
        self.failed: list[tuple[float, str]] = []

    def connect(self):
        self.connection += 1
        self.held.clear()
        self.session.opened("the-key", self.now)

    def forget(self, *isins):
        """Let KIS forget these registrations; nothing tells us."""
        self.held -= set(isins)

    def drop(self):
        self.close("reset", None, None)

    def close(self, cause, code, message):
        """End the connection, or an attempt to open one."""
        self.session.closed(cause, code, message, self.now)
        self.held.clear()

    @property
    def may_connect_at(self):
        """When the next connection may be opened; a slot without bonds opens none."""
        return self.session.may_connect_at if self.session.is_needed else float("inf")

    def obey(self, effects):
        for effect in effects:
            match effect:
                case Send(text):
                    self.request(text)
                case Close(cause, code, message):
                    self.close(cause, code, message)
                case ReissueKey():
                    self.session.key_reissued("another-key")

    def request(self, text):
        message = json.loads(text)
        tr_type, isin = message["header"]["tr_type"], message["body"]["input"]["tr_key"]
        self.requests.append((self.now, tr_type, isin))
        fate = self.fates.pop(0) if self.fates else "now"
        if fate == "trouble":
            code, fate = "OPSP0007", "now"
        else:
            code = self.release(isin) if tr_type == "2" else self.register(isin)
        if code not in ("OPSP0000", "OPSP0001", "OPSP0002", "OPSP0003") or fate in ("lost", "unread"):
            self.failed.append((self.now, isin))
        if code is None or fate == "lost":
            return
        if fate == "unread":
            self.post(None, 0.01)
            return
        nobody = self.anonymous and code not in ("OPSP0000", "OPSP0001", "OPSP0002", "OPSP0003")
        drops = isin in self.dropping and code in self.errors.values()
        if drops and self.is_terse and isin in self.told:
            self.post(None, 0.01)
            return
        self.told |= {isin} if drops else set()
        text = reply(code, "" if nobody else isin, "9" if drops else None, tr_id="(null)" if nobody else "H0BJCNT0")
        delay = 0.01 if fate in ("now", "drop") else fate
        self.post(text, delay)
        if drops or fate == "drop":
            self.post(None, delay)

    def post(self, text, delay):
        """Send a reply, or end the connection if it is None."""
        self.letters += 1
        heappush(self.mail, (self.now + delay, self.letters, self.connection, text))

    def release(self, isin):
        if isin not in self.held:
            return "OPSP0003"
        self.held.discard(isin)
        return "OPSP0001"

    def register(self, isin):
        if isin in self.errors:
            return self.errors[isin]
        if isin == REFUSED:
            return "OPSP8993"
        if isin in self.held:
            return "OPSP0002"
        if len(self.held) >= self.limit:
            return "OPSP0008"
        self.held.add(isin)
        return "OPSP0000"

    def advance(self, seconds, check=lambda _: None):
        """Let time pass, and obey everything that becomes due."""
        end = self.now + seconds
        while True:
            if not self.session.is_open and self.may_connect_at <= self.now:
                self.connect()
            self.obey(self.converge())
            check(self)
            mail_at = self.mail[0][0] if self.mail else end
            due_at = self.session.next_deadline(self.now) if self.session.is_open else self.may_connect_at
            at = min(mail_at, end if due_at is None else max(due_at, self.now + 0.001))
            if at >= end:
                self.now = end
                return
            self.now = max(self.now, at)
            self.session.heard(self.now)
            while self.mail and self.mail[0][0] <= self.now:
                _, _, connection, text = heappop(self.mail)
                if connection == self.connection and self.session.is_open:
                    if text is None:
                        self.drop()
                    else:
                        self.obey(self.session.receive_control(text, self.now))
                    check(self)

    def converge(self):
        registrations = self.session._registrations
        before = registrations.held_count
        effects = self.session.converge(self.now)
        assert registrations.held_count <= max(before, registrations.limit), "a bond was registered beyond the limit"
        return effects

    def states(self):
        return {isin: seen.state for isin, seen in self.session.view.registrations.items()}


class Probed(World):
    """A session with probes, at an open market where some bonds tick."""

    step = 1.0

    def __init__(self, *isins, period=PERIOD, **options):
        super().__init__(limit=10, **options)
        self.market_is_open = True
        self.ticked: dict[str, float] = {}
        self.losses: list[Lost] = []
        self.probe = Probe(period, lambda: self.market_is_open, self.ticked.get)
        self.session._probe = self.probe
        self.session.want(isins, self.now)
        self.live(5.0)
        self.before = len(self.requests)

    def obey(self, effects):
        super().obey([effect for effect in effects if not isinstance(effect, Lost)])
        self.losses += [effect for effect in effects if isinstance(effect, Lost)]

    def live(self, seconds, *ticking):
        """Let time pass, in steps in which these bonds tick once."""
        end = self.now + seconds
        while self.now < end:
            self.session.data_received(self.now)
            self.ticked |= dict.fromkeys(ticking, self.now)
            self.advance(min(self.step, end - self.now))

    def asked(self):
        """Return the bonds asked for since the last call."""
        found = [isin for _, tr_type, isin in self.requests[self.before :] if tr_type == "1"]
        self.before = len(self.requests)
        return found


class Talk:
    """The registrations of one session in virtual time, without a connection."""

    def __init__(self, *wanted, **pace):
        self.now = 100.0
        self.subject = SessionRegistrations(replace(PACE, **pace))
        self.subject.want(wanted)
        self.subject.begin(self.now)

    def next(self, now):
        """Return the request that is due, as sent."""
        self.subject.advance(now)
        return self.subject.send_next(now)

    def ask(self, seconds=0.2):
        """Let time pass, look for a due request every 50 ms, and return the requests."""
        asked = []
        end = self.now + seconds
        while self.now < end:
            if (due := self.next(self.now)) is not None:
                asked.append(due)
            self.now += 0.05
        return asked

    def answer(self, code, isin, **header):
        return self.subject.receive(parse(reply(code, isin, **header)), self.now)

    def answer_unnamed(self, code, rt_cd="9"):
        return self.answer(code, "", rt_cd=rt_cd, tr_id="(null)")

    def reconnect(self, *, is_unexplained=False):
        """End the session and begin the next one."""
        self.subject.end(self.now, is_unexplained=is_unexplained)
        self.subject.begin(self.now)

    def states(self):
        return {isin: seen.state for isin, seen in self.subject.view().items()}

    def active(self, *isins):
        """Register and confirm these, and nothing else."""
        self.subject.want(isins)
        for isin in isins:
            self.ask()
            self.answer("OPSP0000", isin)
        return self
