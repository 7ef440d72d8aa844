"""Asks KIS's REST calls what ticks cannot tell: the end of a hole or a day, and lost trades.

All that is concluded is decided in `core/coverage`; this asks, in turn, and waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import structlog

from connector.app.audit.auditor import now_ms
from connector.core.coverage.asking import Asking
from connector.core.coverage.dates import over_ms, seoul_date
from connector.core.coverage.readings import RestTrade, Total, are_of_today
from connector.core.kis.quotations import Failed
from connector.core.ticks.partition import partition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from connector.app.audit.auditor import Auditor
    from connector.core.coverage.day import Day
    from connector.core.kis.quotations import ReportedTrade

PAUSE_SECONDS: Final = 1.0
# A backfilled tick comes back through the topic within seconds.
FIRST_RETRY_MS, LAST_RETRY_MS = 5_000, 300_000

log = structlog.get_logger("connector.audit_rest")


class Rest(Protocol):
    """KIS's REST calls; implemented in shell/kis_rest."""

    async def volume(self, isin: str) -> int | Failed:
        """Return the bond's volume of the day so far."""

    async def trades(self, isin: str) -> list[ReportedTrade] | Failed:
        """Return the bond's latest trades."""


class _Retry(NamedTuple):
    """When a hole is looked for again, and how long the wait after that is."""

    at_ms: int
    wait_ms: int


class RestRound:
    """Goes round the bonds of this member. `rest` is None if there are no app keys for REST.

    `backfill` publishes trades of a bond to a partition, and returns whether Kafka acknowledged
    them; it is None if nothing is to be backfilled. `count` returns the number of partitions of the
    tick topic.
    """

    def __init__(
        self,
        auditor: Auditor,
        count: Callable[[], int],
        rest: Rest | None,
        backfill: Callable[[str, Sequence[ReportedTrade], int], Awaitable[bool]] | None,
    ) -> None:
        self._auditor = auditor
        self._count = count
        self._rest = rest
        self._backfill = backfill
        self._asking = Asking()
        self._retries: dict[str, dict[str, _Retry]] = {}  # of each bond's open holes
        self._unreached: set[str] = set()
        self.backfilled = 0
        auditor.on_session_up = self._on_session_up

    async def run(self) -> None:
        """Go round until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            if not self._auditor.knows_facts():
                continue
            if self._rest is None:
                self._end_days()
            else:
                await self._ask(self._rest)

    def _on_session_up(self, slot: int) -> None:
        for isin, carried_by in self._auditor.wishes.slot_of.items():
            if carried_by == slot:
                self._asking.interrupted(isin, now_ms())

    def _own_days(self) -> Iterator[Day]:
        """Yield today's day of each bond of this member, if the exchange is open today."""
        now = now_ms()
        today = seoul_date(now)
        if not self._auditor.is_trading_day(today):
            return
        for isin in sorted(self._auditor.wishes.slot_of):
            audited = self._auditor.partitions.get(self._partition(isin))
            if audited is not None and ((isin, today) in audited.book.days or now >= over_ms(today)):
                yield audited.book.day(isin, today)

    def _partition(self, isin: str) -> int:
        """Return the partition into which the connector writes the bond's ticks, -1 if unknown."""
        count = self._auditor.facts.partition_counts.in_use or self._count()
        return partition(isin.encode(), count) if count else -1

    def _is_settled(self, day: Day) -> bool:
        """Whether every tick that the connector received has been read."""
        audited = self._auditor.partitions.get(self._partition(day.isin))
        return audited is not None and audited.lag == 0 and self._auditor.wishes.pending(day.isin) == 0

    def _end_days(self) -> None:
        """End today's days without REST, once nothing more can come."""
        now = now_ms()
        for day in self._own_days():
            if now >= over_ms(day.trade_date) and self._is_settled(day):
                day.check_by_ticks(now)

    async def _ask(self, rest: Rest) -> None:
        days, now = {day.isin: day for day in self._own_days()}, now_ms()
        self._asking.keep(days)
        for day in days.values():
            is_over = now >= over_ms(day.trade_date)
            if not (is_over and day.checked is not None and day.checked.by == "rest" and day.state == "COMPLETE"):
                last_ms = day.stretches.last.seen_ms if day.stretches.last is not None else 0
                self._asking.look_at(day.isin, now, last_ms, is_over=is_over)
        for isin in sorted(self._unreached & days.keys()):
            self._reach(days[isin])
        for day in days.values():
            await self._repair(rest, day)
        while (due := self._asking.next(now_ms())) is not None and due in days:
            await self._read_volume(rest, days[due])

    async def _read_volume(self, rest: Rest, day: Day) -> None:
        answer = await rest.volume(day.isin)
        self._asking.answered(day.isin, now_ms(), is_failed=isinstance(answer, Failed))
        if isinstance(answer, Failed):
            log.info("volume_not_read", isin=day.isin, code=answer.code, reason=answer.message)
            return
        day.read_total(Total(now_ms(), answer), over_ms(day.trade_date))
        self._unreached.add(day.isin)

    def _reach(self, day: Day) -> None:
        """Make a hole at the end, once the ticks of the earlier reading must have come."""
        if day.totals.reached(now_ms()) is not None and self._is_settled(day):
            day.reach_total(now_ms())
            self._unreached.discard(day.isin)

    async def _repair(self, rest: Rest, day: Day) -> None:
        """Look for the trades of the day's open holes, and backfill those that KIS lists."""
        # A new hole does not wait for an earlier one: KIS lists only the latest trades.
        earlier = self._retries.pop(day.isin, {})
        new = _Retry(0, FIRST_RETRY_MS)
        retries = {hole.id: earlier.get(hole.id, new) for hole in day.holes if hole.state == "OPEN"}
        if not retries:
            return
        self._retries[day.isin] = retries
        if now_ms() < min(each.at_ms for each in retries.values()) or not self._is_settled(day):
            return
        reported = await rest.trades(day.isin)
        now = now_ms()
        self._retries[day.isin] = {
            hole: _Retry(now + each.wait_ms, min(2 * each.wait_ms, LAST_RETRY_MS)) for hole, each in retries.items()
        }
        if isinstance(reported, Failed):
            log.info("trades_not_read", isin=day.isin, code=reported.code, reason=reported.message)
            return
        if not self._is_settled(day):
            return
        by_trade = {_rest_trade(each): each for each in reported}
        if not are_of_today(list(by_trade), now_ms()):
            log.info("trades_not_read", isin=day.isin, code=None, reason="the list is that of an earlier day")
            return
        fitting = [by_trade[each] for each in day.read_trades(list(by_trade))]
        if (
            fitting
            and self._backfill is not None
            and await self._backfill(day.isin, fitting, self._partition(day.isin))
        ):
            self.backfilled += len(fitting)
            log.info("backfilled", isin=day.isin, trades=len(fitting))


def _rest_trade(trade: ReportedTrade) -> RestTrade:
    return RestTrade(trade.hour, trade.price, trade.volume, trade.accumulated_volume)
