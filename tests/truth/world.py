"""A seeded trading day in virtual time: what happened, what arrived, and what was told about it.

The trades are the simulator's. Everything that loses or disturbs ticks is drawn from the seed, and
the log keeps what truly happened.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from random import Random

from simulator.bond import bond
from simulator.market import Trading

ISINS = ("KR103502GA34", "KR6095572D81", "KR2033022D33")
TODAY = date(2026, 9, 14)  # a Monday
DAY_BEFORE = date(2026, 9, 11)
CLOSED_DAY = date(2026, 9, 13)
OLD_DAY = date(2026, 9, 9)
WAIT_MS = 5_000
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
CLOSE = 15 * HOUR + 30 * MINUTE
ENDED_BY = ("closed", "reset", "silence")
LOST_BY = ("journal_full", "disk", "corrupt")
ALWAYS = 1 << 62


def is_trading_day(day):
    """Return whether a date is a weekday; the world has no holidays."""
    return day.weekday() < 5


def midnight(day):
    """Return the start of a date in Seoul, in milliseconds."""
    return int((datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=9)).timestamp()) * 1000


@dataclass(frozen=True, slots=True)
class Happening:
    """One interruption in the log: of a slot or of a bond, from its first to its last moment."""

    cause: str
    slot: int | None
    isin: str | None
    from_ms: int
    to_ms: int

    def hits(self, isin, slot, at_ms):
        """Return whether it kept a trade of the bond from us. A dead letter is one trade's own."""
        if self.cause == "dead_letter":
            return False
        return self.from_ms <= at_ms < self.to_ms and (self.isin == isin if self.isin else self.slot == slot)


@dataclass(slots=True)
class Deal:
    """One trade, and what became of it. `lost` is why it never arrived."""

    isin: str
    day: date
    traded_ms: int
    low: int
    high: int
    tick_id: str
    slot: int
    seen_ms: int
    lost: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A copy of a trade in the tick topic. `seen_ms` is when the connector received this copy."""

    at_ms: int
    deal: Deal
    seen_ms: int
    slot: int | None
    source: str = "ws"


@dataclass(slots=True)
class World:
    """One day. `told` has what other topics say, as (time, kind, fields)."""

    seed: int
    deals: list[Deal] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    told: list[tuple] = field(default_factory=list)
    log: list[Happening] = field(default_factory=list)
    volumes: dict[str, int] = field(default_factory=dict)  # of the day, by bond
    restarts: list[int] = field(default_factory=list)
    has_rest: bool = False
    taken_back: bool = False
    backfills: bool = False
    depth: int = 30

    def deals_of(self, isin, day=TODAY):
        """Return the trades of a bond on a date, in the order of their volumes."""
        return [each for each in self.deals if each.isin == isin and each.day == day]


def make(seed):
    """Return the world of a seed."""
    world = World(seed)
    random = Random(f"truth/{seed}")
    start = midnight(TODAY)
    up_at = midnight(DAY_BEFORE) + 8 * HOUR
    for slot in (0, 1):
        _tell(world, up_at, "session_up", slot=slot)
    world.log += [Happening("not_running", slot, None, -ALWAYS, up_at) for slot in (0, 1)]
    _interrupt_slots(world, random, start)
    drops = random.choice((0.0, 0.0, 0.02, 0.1))
    for isin in ISINS:
        _interrupt_bond(world, random, start, isin)
    for isin in ISINS:
        _trade(world, random, TODAY, isin, drops)
    _trade(world, random, DAY_BEFORE, ISINS[0], 0.0)
    _odd_ones(world, random)
    world.restarts = [start + random.randrange(9 * HOUR, 16 * HOUR) for _ in range(random.choice((0, 0, 1, 3)))]
    world.has_rest, world.backfills = random.random() < 0.5, random.random() < 0.5
    world.taken_back, world.depth = random.random() < 0.05, random.choice((1, 5, 30))
    world.arrivals.sort(key=lambda each: each.at_ms)
    world.told.sort(key=lambda each: each[0])
    return world


def _tell(world, at_ms, kind, **fields):
    world.told.append((at_ms, kind, fields))


def _interrupt_slots(world, random, start):
    """Draw what happens to the sessions: ends, kills, losses, silent connectors."""
    for slot in (0, 1):
        times = sorted(random.randrange(9 * HOUR, CLOSE) for _ in range(random.choice((0, 1, 1, 2))))
        free = start
        for at in (start + time for time in times):
            if at < free:
                continue
            until = at + random.choice((5 * SECOND, MINUTE, 20 * MINUTE))
            free = until + 10 * MINUTE
            kind = random.choice(("down", "down", "kill", "loss", "gone"))
            if kind == "down":
                cause = random.choice(ENDED_BY)
                _tell(world, at, "session_down", slot=slot, cause=cause)
                if until - at >= MINUTE:
                    _tell(world, at + 20 * SECOND, "session_down", slot=slot, cause="refused")
                _tell(world, until, "session_up", slot=slot)
            elif kind == "kill":
                cause = "killed"
                _tell(world, until, "killed", slot=slot, alive_ms=at)
                _tell(world, until, "session_up", slot=slot)
            elif kind == "loss":
                cause = random.choice(LOST_BY)
                _tell(world, until, "loss", slot=slot, reason=cause, from_ms=at, to_ms=until)
            else:
                cause, until = "not_running", at + random.choice((2 * MINUTE, 30 * MINUTE))
                free = until + 10 * MINUTE
                _tell(world, at, "alive", slot=slot, alive_ms=at)
                _tell(world, until, "alive", slot=slot, alive_ms=until)
            world.log.append(Happening(cause, slot, None, at, until))
    _keep_alive(world, start)


def _keep_alive(world, start):
    """Say every 80 s that a slot is alive, except while nothing was running there."""
    for slot in (0, 1):
        silent = [each for each in world.log if each.slot == slot and each.cause == "not_running" and each.from_ms > 0]
        if not silent:
            continue
        for at in range(start + 8 * HOUR, start + 17 * HOUR, 80 * SECOND):
            if not any(each.from_ms < at < each.to_ms for each in silent):
                _tell(world, at, "alive", slot=slot, alive_ms=at)


def _interrupt_bond(world, random, start, isin):
    """Draw what happens to one bond: asked for late, released, without room, no longer sent."""
    kinds = ("", "", "", "released", "no room", "registration", "late")
    # The day before has ticks of the first bond alone, which was wanted then.
    kind = random.choice(kinds[:-1] if isin == ISINS[0] else kinds)
    at = start + random.randrange(9 * HOUR + 30 * MINUTE, CLOSE - 2 * HOUR)
    until = at + random.choice((MINUTE, HOUR))
    wanted_ms = start + 11 * HOUR if kind == "late" else start - 30 * 24 * HOUR
    _tell(world, max(start + 8 * HOUR, wanted_ms), "wanted_since", isin=isin, since_ms=wanted_ms)
    world.log.append(Happening("not_wanted", None, isin, -ALWAYS, wanted_ms))
    if kind == "late":
        _tell(world, wanted_ms + 300, "wanted", isin=isin, state="PENDING")
    elif kind == "released":
        _tell(world, at, "unwanted", isin=isin, state=None)
        _tell(world, until, "wanted", isin=isin, state="PENDING")
        world.log.append(Happening("not_wanted", None, isin, at, until))
    elif kind == "no room":
        _tell(world, at, "wanted", isin=isin, state="WAITING_CAPACITY")
        _tell(world, until, "wanted", isin=isin, state="ACTIVE")
        world.log.append(Happening("not_registered", None, isin, at, until))
    elif kind == "registration":
        _tell(world, until, "registration_lost", isin=isin, silent_seconds=(until - at) / 1000)
        world.log.append(Happening("registration_lost", None, isin, at, until))


def _trade(world, random, day, isin, drops):
    """Draw the bond's trades of a date, lose some, and let the others arrive."""
    start, slot = midnight(day), ISINS.index(isin) % 2
    trading = Trading(bond(isin, world.seed, 2026), world.seed, 30)
    seconds = sorted(random.randrange(9 * HOUR, CLOSE, SECOND) for _ in range(random.randrange(5, 60)))
    # What a slot lost is told at the end; a bond that moved away meanwhile would be judged before.
    is_told_at_once = all(each.cause in ENDED_BY for each in world.log if each.slot is not None and each.from_ms > 0)
    moves = is_told_at_once and random.random() < 0.2
    moves_at = start + random.randrange(9 * HOUR, CLOSE) if moves else ALWAYS
    delays = random.choice((0, 0, 2 * SECOND, 2 * HOUR))
    for time in seconds:
        at = start + time
        hour = f"{time // HOUR:02d}{time % HOUR // MINUTE:02d}{time % MINUTE // SECOND:02d}"
        if random.random() < 0.01:
            trading.tick(day.isoformat(), hour)  # KIS counts a volume and sends no trade
        columns = trading.tick(day.isoformat(), hour).split("^")
        volume, accumulated = int(columns[7]), int(columns[16])
        name = blake2b(f"{isin}{day}{accumulated}".encode(), digest_size=16).hexdigest()
        here = 1 - slot if at >= moves_at else slot
        deal = Deal(isin, day, at, accumulated - volume, accumulated, name, here, at + random.randrange(1, 300))
        world.deals.append(deal)
        world.volumes[isin, day] = accumulated
        deal.lost = _why_lost(world, random, deal, drops)
        if deal.lost is None:
            _arrive(world, random, deal, delays, near_move=abs(at - moves_at) < 5 * SECOND)


def _why_lost(world, random, deal, drops):
    if deal.day != TODAY:
        return None
    for each in world.log:
        if each.hits(deal.isin, deal.slot, deal.seen_ms):
            return each.cause
    if random.random() < 0.01:
        # Trades of one second are received in any order.
        around = (deal.seen_ms - SECOND, deal.seen_ms + SECOND)
        world.log.append(Happening("dead_letter", None, deal.isin, *around))
        _tell(world, deal.seen_ms + 100, "dead_letter", isin=deal.isin, received_ms=deal.seen_ms)
        return "dead_letter"
    return "unknown" if random.random() < drops else None


def _arrive(world, random, deal, delays, *, near_move):
    """Bring a trade into the topic: soon, out of order, late, on two slots, or more than once."""
    at = deal.seen_ms + random.randrange(5, 50)
    if delays and random.random() < 0.2:
        at += random.randrange(delays)
    if deal.day == DAY_BEFORE and random.random() < 0.2:
        # Some come after midnight, some after the date has left memory.
        at = midnight(TODAY) + random.choice((HOUR, 8 * HOUR, 10 * HOUR)) + random.randrange(MINUTE)
    world.arrivals.append(Arrival(at, deal, deal.seen_ms, deal.slot))
    if near_move:
        world.arrivals.append(Arrival(at + random.randrange(SECOND), deal, deal.seen_ms + 10, 1 - deal.slot))
    if random.random() < 0.05:
        again = at + random.choice((1, MINUTE, 3 * HOUR))
        world.arrivals.append(Arrival(again, deal, again - 1, deal.slot))


def _odd_ones(world, random):
    """Add a tick of an earlier day, sent again on a closed one, and a replay of an old day."""
    if random.random() < 0.3:
        at = midnight(CLOSED_DAY) + 10 * HOUR
        deal = Deal(ISINS[0], CLOSED_DAY, at, 500, 510, "closed", 0, at)
        world.arrivals.append(Arrival(at, deal, at, 0))
    if random.random() < 0.3:
        at = midnight(OLD_DAY) + 11 * HOUR
        for number, low in enumerate((100, 300)):
            deal = Deal(ISINS[1], OLD_DAY, at + number, low, low + 50, f"old-{low}", 0, at + number)
            world.deals.append(deal)
            world.volumes[ISINS[1], OLD_DAY] = low + 50
            arrived = midnight(TODAY) + 12 * HOUR + number
            world.arrivals.append(Arrival(arrived, deal, deal.seen_ms, 0, "replay"))
