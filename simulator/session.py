"""One client's session as KIS keeps it: whose it is, what it registered, and whether it still answers."""

from dataclasses import dataclass, field
from random import Random

from simulator.reply import Keys

HEX, LETTERS = "0123456789abcdef", "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Pong:
    """One answered PINGPONG: whether the text was the identical one, and what carried it: `text`, `binary`, `ping` or `pong`."""

    identical: bool
    opcode: str


@dataclass(slots=True, eq=False)
class Session:
    """Times are monotonic seconds. `app_key` is None until the first request with a known approval key."""

    number: int
    opened: float
    tick_seconds: float
    seed: int
    app_key: int | None = None
    connected: bool = True
    registered: dict[str, Keys] = field(default_factory=dict, repr=False)
    pongs: list[Pong] = field(default_factory=list)
    pingpongs_sent: int = 0
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
        """What is registered, in the order of registration."""
        return tuple(self.registered)

    def register(self, tr_key: str) -> Keys:
        """Register and return new keys: every success carries a pair of its own."""
        keys = Keys("".join(self._random.choices(LETTERS, k=32)), "".join(self._random.choices(HEX, k=16)))
        self.registered[tr_key] = keys
        return keys

    def traffic(self, now: float) -> None:
        """Note that something passed, either way: PINGPONG is for idle lines only."""
        self._traffic = now

    def wants_pingpong(self, now: float) -> bool:
        """Return whether a tick of the server's clock has come and found the line idle for as long: 10 to 20 s apart on an idle line."""
        if now < self._next_tick:
            return False
        while self._next_tick <= now:
            self._next_tick += self.tick_seconds
        return now - self._traffic >= self.tick_seconds

    def pingpong_sent(self, raw: bytes, now: float) -> None:
        """Note a PINGPONG that went out."""
        self.pingpongs_sent += 1
        self._last_pingpong = raw
        if self._unanswered_since is None:
            self._unanswered_since = now

    def pingpong_came(self, raw: bytes, opcode: str, now: float) -> None:
        """Note the client's PINGPONG; any opcode will do, for KIS's own samples use three."""
        self.traffic(now)
        if self._unanswered_since is not None:
            self.pongs.append(Pong(raw == self._last_pingpong, opcode))
        self._unanswered_since = None

    def unanswered_seconds(self, now: float) -> float:
        """Return how long a PINGPONG has waited for its answer."""
        return 0.0 if self._unanswered_since is None else now - self._unanswered_since
