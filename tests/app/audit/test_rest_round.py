"""What is asked of KIS's REST calls, and what is concluded from the answers."""

import pytest

from connector.app.audit import rest_round
from connector.app.audit.auditor import now_ms
from connector.app.audit.rest_round import RestRound
from connector.core.coverage import readings
from connector.core.coverage.dates import opens_ms, seoul_date
from connector.core.kis.quotations import Failed, ReportedTrade
from connector.core.ticks.partition import partition
from tests.app.audit.fakes import ISIN, World


class Rest:
    """Answers with what the test sets, and keeps what was asked."""

    def __init__(self):
        self.total, self.listed, self.asked = 0, [], []

    async def volume(self, isin):
        """Return the volume that the test set."""
        self.asked.append(("volume", isin))
        return self.total

    async def trades(self, isin):
        """Return the trades that the test set."""
        self.asked.append(("trades", isin))
        return self.listed


def reported(raw):
    """Return a trade as inquire-ccnl lists it."""
    columns = raw.split("^")
    return ReportedTrade(columns[2], columns[6], columns[4], columns[3], columns[5], columns[7], columns[16])


class Round(World):
    """A world with a REST round; `published` are the trades that it backfilled."""

    def __init__(self, *, backfills=True, over=False, monkeypatch=None):
        super().__init__()
        self.rest, self.published = Rest(), []
        self.round = RestRound(self.auditor, lambda: 1, self.rest, self._publish if backfills else None)
        if monkeypatch is not None:
            monkeypatch.setattr(rest_round, "over_ms", lambda _: 0 if over else 1 << 62)

    async def _publish(self, _, trades, number):
        self.published += trades
        return True

    async def with_ticks(self, raws):
        """Let the auditor have read these ticks and be settled."""
        if 0 not in self.auditor.partitions:
            await self.auditor.begin(0, None, range(1000))
        await self.auditor.take(0, self.records(raws))
        self.auditor.note_ends({0: self.offset})
        self.slot_is(0)
        await self.auditor.flush()

    async def go(self):
        """Go round once."""
        await self.round._ask(self.rest)


@pytest.fixture
def day(monkeypatch):
    """Give a round within the day."""
    return Round(monkeypatch=monkeypatch)


async def test_trades_in_a_hole_are_published_and_what_is_left_is_confirmed(day):
    """The list's trades in a hole are published; once they are back, the rest is confirmed."""
    raws = day.trades(10)
    await day.with_ticks([*raws[:2], *raws[6:]])
    day.rest.listed = [reported(raw) for raw in reversed(raws[4:])]
    await day.go()
    assert day.published == [reported(raw) for raw in raws[4:6]]
    assert day.latest()["state"] == "HOLES"
    await day.with_ticks(raws[4:6])
    day.round._retries.clear()
    await day.go()
    await day.auditor.flush()
    (hole,) = day.latest()["holes"]
    assert (hole["state"], hole["cause"]) == ("CONFIRMED", "unknown")
    low, high = (int(raw.split("^")[16]) for raw in (raws[1], raws[3]))
    assert hole["remaining"] == [[low, high]]
    assert day.latest()["missing_volume"] == high - low
    await day.go()
    assert day.rest.asked.count(("trades", ISIN)) == 2


@pytest.mark.parametrize(("pending", "read"), [(3, 0), (None, 0), (0, 1)])
async def test_nothing_is_repaired_while_ticks_are_under_way(day, pending, read):
    """While the slot has frames pending, or the topic is not read to its end, KIS is not asked."""
    raws = day.trades(6)
    await day.with_ticks([*raws[:2], *raws[4:]])
    day.slot_is(pending)
    day.auditor.note_ends({0: day.offset + read})
    await day.go()
    assert (day.rest.asked, day.published) == ([], [])


async def test_yesterdays_list_fills_nothing(day, monkeypatch):
    """In the morning KIS may still list the day before: a trade that is yet to come tells."""
    raws = day.trades(6)
    await day.with_ticks([*raws[:2], *raws[4:]])
    monkeypatch.setattr(rest_round, "now_ms", lambda: opens_ms(seoul_date(now_ms())) + 1_800_000)
    day.rest.listed = [reported(raw)._replace(hour="153000") for raw in raws]
    await day.go()
    await day.auditor.flush()
    assert (day.published, day.latest()["holes"][0]["state"]) == ([], "OPEN")
    assert ("trades", ISIN) in day.rest.asked


async def test_without_backfill_nothing_is_published(monkeypatch):
    """With audit.backfill false the trades are looked at, but not published."""
    world = Round(backfills=False, monkeypatch=monkeypatch)
    raws = world.trades(6)
    await world.with_ticks([*raws[:2], *raws[4:]])
    world.rest.listed = [reported(raw) for raw in raws]
    await world.go()
    await world.auditor.flush()
    assert (world.rest.asked, world.latest()["holes"][0]["state"]) == ([("trades", ISIN)], "OPEN")


async def test_a_failed_call_confirms_nothing(day):
    """If KIS does not answer, the hole stays open and is looked at again later."""
    raws = day.trades(6)
    await day.with_ticks([*raws[:2], *raws[4:]])
    day.rest.listed = Failed("EGW00201", "too fast")
    await day.go()
    await day.go()
    await day.auditor.flush()
    assert (day.rest.asked, day.latest()["holes"][0]["state"]) == ([("trades", ISIN)], "OPEN")


async def test_the_waits_between_two_looks_for_a_hole_double(day, monkeypatch):
    """A hole is looked for after 5 s, 10 s and 20 s."""
    raws, begun, asked = day.trades(6), rest_round.now_ms(), []
    await day.with_ticks([*raws[:2], *raws[4:]])
    day.rest.listed = Failed("EGW00201", "too fast")
    for seconds in (0, 4.9, 5, 14.9, 15, 34.9, 35):
        monkeypatch.setattr(rest_round, "now_ms", lambda at=begun + int(seconds * 1000): at)
        before = len(day.rest.asked)
        await day.go()
        if day.rest.asked[before:] == [("trades", ISIN)]:
            asked.append(seconds)
    assert asked == [0, 5, 15, 35]


async def test_a_new_hole_does_not_wait_for_an_earlier_one(day):
    """KIS lists only the latest trades, so that each new hole is looked for at once."""
    raws = day.trades(9)
    day.rest.listed = [reported(raw) for raw in raws[:4]]
    await day.with_ticks([*raws[:2], *raws[4:6]])
    await day.go()
    await day.go()
    assert day.rest.asked == [("trades", ISIN)]
    await day.with_ticks(raws[8:])
    await day.go()
    await day.go()
    assert day.rest.asked == [("trades", ISIN)] * 2


async def test_a_hole_at_the_end_is_found_after_an_interruption(day, monkeypatch):
    """Two readings after a reconnect show volume that no tick reached in the meantime."""
    raws = day.trades(6)
    await day.with_ticks(raws[:3])
    day.rest.total = int(raws[4].split("^")[16])
    day.event("session_up")
    await day.go()
    assert day.rest.asked == [("volume", ISIN)]
    monkeypatch.setattr(readings, "SETTLED_MS", -1)
    later = rest_round.now_ms() + 61_000
    monkeypatch.setattr(rest_round, "now_ms", lambda: later)
    await day.go()
    await day.go()
    await day.auditor.flush()
    (hole,) = day.latest()["holes"]
    assert (hole["from_volume"], hole["to_volume"]) == (int(raws[2].split("^")[16]), day.rest.total)
    assert hole["before"] is None


async def test_two_readings_after_the_close_complete_a_day(monkeypatch):
    """After the close, two equal readings a minute apart complete the day."""
    world = Round(over=True, monkeypatch=monkeypatch)
    raws = world.trades(3)
    await world.with_ticks(raws)
    world.rest.total = int(raws[-1].split("^")[16])
    begun = rest_round.now_ms()
    for seconds in (0, 61, 700):
        monkeypatch.setattr(rest_round, "now_ms", lambda later=begun + seconds * 1000: later)
        await world.go()
    await world.auditor.flush()
    record = world.latest()
    assert (record["state"], record["checked"]["by"]) == ("COMPLETE", "rest")
    assert world.rest.asked == [("volume", ISIN)] * 2


async def test_without_rest_ticks_alone_end_the_day(monkeypatch):
    """Without REST the day is complete by ticks, and a bond without a tick is unproven."""
    world = Round(over=True, monkeypatch=monkeypatch)
    other = "KR103502GD31"
    await world.with_ticks(world.trades(3))
    world.status(f"instrument/{other}", {"state": "ACTIVE", "slot": 0})
    world.round._end_days()
    await world.auditor.flush()
    assert (world.latest()["state"], world.latest()["checked"]["by"]) == ("COMPLETE", "ticks")
    assert (world.latest(other)["state"], world.latest(other)["reason"]) == ("UNPROVEN", "no_ticks")


async def test_without_rest_a_day_waits_for_what_is_pending(monkeypatch):
    """As long as frames are pending, a day does not end."""
    world = Round(over=True, monkeypatch=monkeypatch)
    await world.with_ticks(world.trades(3))
    world.slot_is(1)
    world.round._end_days()
    await world.auditor.flush()
    assert world.latest()["state"] == "OPEN"


async def test_a_bond_is_looked_for_where_the_connector_writes_its_ticks(monkeypatch):
    """If a topic grew and the connector keeps to the old number, no day lacks its ticks."""
    world = Round(over=True, monkeypatch=monkeypatch)
    world.round._count = lambda: next(count for count in range(2, 99) if partition(ISIN.encode(), count) == 1)
    await world.auditor.begin(1, None, range(0))
    await world.with_ticks(world.trades(3))
    world.event("partitions_changed", slot=None, detail={"before": 1, "after": world.round._count(), "adopted": False})
    assert [(day.isin, day.ticks) for day in world.round._own_days()] == [(ISIN, 3)]
    assert world.auditor.partitions[1].book.days == {}
