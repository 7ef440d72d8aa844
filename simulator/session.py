"""One client's session as KIS keeps it: its app key, its registrations, its PINGPONGs."""

import time
from collections import deque
from dataclasses import dataclass, field
from random import Random

from simulator.reply import Keys
from simulator.request import TR_ID

HEX, LETTERS = "0123456789abcdef", "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Pong:
    """One answer to a PINGPONG.

    `identical` is true if the answer has the text of the PINGPONG. `opcode` is `text`, `binary`,
    `ping` or `pong`.
    """

    identical: bool
    opcode: str


@dataclass(slots=True, eq=False)
class Session:
    """One session. Times are monotonic seconds.

    `app_key` is None, and `approval_key` empty, until a request names a known approval key.
    """

    number: int
    opened: float
    tick_seconds: float
    seed: int
    app_key: int | None = None
    approval_key: str = field(default="", repr=False)
    connected: bool = True
    registered: dict[tuple[str, str], Keys] = field(default_factory=dict, repr=False)
    """The keys of each registration, by `tr_id` and `tr_key`."""
    registered_since: dict[tuple[str, str], float] = field(default_factory=dict, repr=False)
    pongs: list[Pong] = field(default_factory=list)
    pingpongs_sent: int = 0
    registered_at: deque[float] = field(default_factory=deque)
    """When the registrations of the last second came."""
    _traffic: float = 0.0
    _next_tick: float = 0.0
    _unanswered_since: float | None = None
    _last_pingpong: bytes = b""
    _random: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._traffic, self._next_tick = self.opened, self.opened + self.tick_seconds
        self._random = Random(f"{self.seed}/{self.number}")

    @property
    def tr_keys(self) -> tuple[str, ...]:
        """The bonds whose trades are registered, in the order of registration."""
        return tuple(tr_key for tr_id, tr_key in self.registered if tr_id == TR_ID)

    def keys(self, tr_key: str) -> Keys:
        """Return the keys of a bond whose trades are registered."""
        return self.registered[TR_ID, tr_key]

    def register(self, tr_id: str, tr_key: str) -> Keys:
        """Register and return new keys, because every success has keys of its own."""
        keys = Keys("".join(self._random.choices(LETTERS, k=32)), "".join(self._random.choices(HEX, k=16)))
        self.registered[tr_id, tr_key] = keys
        self.registered_since[tr_id, tr_key] = time.monotonic()
        return keys

    def forget(self, age: float, now: float) -> None:
        """Forget the registrations of at least this age."""
        for each in [each for each in self.registered if now - self.registered_since[each] >= age]:
            del self.registered[each]

    def note_registration(self, now: float) -> int:
        """Note a request to register, and return how many came within the last second."""
        self.registered_at.append(now)
        while self.registered_at[0] <= now - 1:
            self.registered_at.popleft()
        return len(self.registered_at)

    def note_traffic(self, now: float) -> None:
        """Note that something was sent or received, because KIS pings only an idle line."""
        self._traffic = now

    def advance(self, now: float) -> bool:
        """Advance the session's clock, and return whether a PINGPONG is due.

        A PINGPONG is due at a tick of the clock if the line was idle since the tick before. So
        PINGPONGs on an idle line are one to two ticks apart.
        """
        if now < self._next_tick:
            return False
        while self._next_tick <= now:
            self._next_tick += self.tick_seconds
        return now - self._traffic >= self.tick_seconds

    def note_pingpong(self, raw: bytes, now: float) -> None:
        """Note a PINGPONG that was sent."""
        self.pingpongs_sent += 1
        self._last_pingpong = raw
        if self._unanswered_since is None:
            self._unanswered_since = now

    def note_answer(self, raw: bytes, opcode: str, now: float) -> None:
        """Note the client's PINGPONG with any opcode, because KIS's own samples use three."""
        self.note_traffic(now)
        if self._unanswered_since is not None:
            self.pongs.append(Pong(raw == self._last_pingpong, opcode))
        self._unanswered_since = None

    def unanswered_seconds(self, now: float) -> float:
        """Return for how long the oldest unanswered PINGPONG has waited."""
        return 0.0 if self._unanswered_since is None else now - self._unanswered_since
