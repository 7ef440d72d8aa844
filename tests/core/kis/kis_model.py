"""A tiny KIS in virtual time, for histories no table would think of: room for few, one refused name, lost and slow replies."""

import json
from heapq import heappop, heappush

from connector.core.kis.governor import Governor, Waits
from connector.core.kis.registration import Pace
from connector.core.kis.session import Close, ReissueKey, Send, Session

A, B, C, REFUSED = "KR103502GA34", "KR103502GD31", "KR6000000001", "KR9999999999"
LIMIT = 1


def reply(code, tr_key, rt_cd=None, tr_id="H0BJCNT0"):
    """Return a reply of KIS's shape."""
    rt_cd = rt_cd or ("0" if code in ("OPSP0000", "OPSP0001") else "1")
    return json.dumps(
        {"header": {"tr_id": tr_id, "tr_key": tr_key}, "body": {"rt_cd": rt_cd, "msg_cd": code, "msg1": "text"}}
    )


class World:
    """One session object against the tiny KIS. `fates` says what becomes of each reply: "now", "lost", or seconds of delay.

    With the fate "trouble" a request is not obeyed, and an error says so.
    """

    def __init__(self, fates=(), limit=LIMIT, *, anonymous=False):
        self.now = 0.0
        self.limit = limit
        self.anonymous = anonymous
        self.fates = list(fates)
        self.held: set[str] = set()
        self.mail: list[tuple[float, int, int, str]] = []
        self.requests: list[tuple[float, str, str]] = []
        self.connection = 0
        self.session = Session(0, "P", Pace(), Governor(Waits(), lambda: 0.5))
        self.errors: dict[str, str] = {}

    def connect(self):
        self.connection += 1
        self.held.clear()
        self.session.opened("the-key", self.now)

    def drop(self):
        self.session.closed("reset", None, None, self.now)
        self.held.clear()

    def obey(self, effects):
        for effect in effects:
            match effect:
                case Send(text):
                    self.request(text)
                case Close(cause, code, message):
                    self.session.closed(cause, code, message, self.now)
                    self.held.clear()
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
        if fate == "lost":
            return
        nobody = self.anonymous and code not in ("OPSP0000", "OPSP0001", "OPSP0002", "OPSP0003")
        text = reply(code, "" if nobody else isin, tr_id="(null)" if nobody else "H0BJCNT0")
        heappush(self.mail, (self.now + (0.01 if fate == "now" else fate), len(self.requests), self.connection, text))

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
        """Let time pass, and obey whatever is due in it."""
        end = self.now + seconds
        while True:
            if not self.session.is_open and self.session.may_connect_at <= self.now:
                self.connect()
            self.obey(self.converge())
            check(self)
            mail_at = self.mail[0][0] if self.mail else end
            due_at = self.session.next_deadline(self.now) if self.session.is_open else self.session.may_connect_at
            at = min(mail_at, end if due_at is None else max(due_at, self.now + 0.001))
            if at >= end:
                self.now = end
                return
            self.now = max(self.now, at)
            self.session.heard(self.now)
            while self.mail and self.mail[0][0] <= self.now:
                _, _, connection, text = heappop(self.mail)
                if connection == self.connection and self.session.is_open:
                    self.obey(self.session.receive_control(text, self.now))
                    check(self)

    def converge(self):
        registrations = self.session._registrations
        before = registrations.held
        effects = self.session.converge(self.now)
        assert registrations.held <= max(before, registrations.limit), "a bond was registered beyond the limit"
        return effects

    def states(self):
        return {isin: seen.state for isin, seen in self.session.view.registrations.items()}
