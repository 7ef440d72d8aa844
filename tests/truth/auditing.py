"""Plays a world through the auditor's core, with a topic, restarts and REST, in virtual time."""

import json
from bisect import bisect_right
from dataclasses import dataclass
from random import Random

from connector.core.coverage.book import Book
from connector.core.coverage.dates import forgotten_ms, over_ms, rfc3339
from connector.core.coverage.facts import Facts
from connector.core.coverage.readings import RestTrade, Total
from connector.core.coverage.record import encode, record_key, split_key
from connector.core.coverage.tick import Tick, Trade
from tests.truth import world as worlds
from tests.truth.world import HOUR, ISINS, MINUTE, SECOND, TODAY, WAIT_MS, Arrival, is_trading_day, midnight

PARTITION = 0


class Killed(Exception):
    """The auditor was killed between two writes."""


@dataclass(slots=True)
class Topics:
    """What outlives the auditor: records in order, events in order, and the committed offset."""

    records: list
    events: list
    committed: int = -1


class Auditing:
    """One auditor over one world. `watchers` hear of each step, in its order."""

    def __init__(self, world, watcher):
        self.world, self.watcher = world, watcher
        self.random = Random(f"auditing/{world.seed}")
        self.topics = Topics([], [])
        self.ticks = []
        self.now = 0
        self.told = 0
        self.kills = list(world.restarts)
        self._start()

    def _start(self):
        self.book, self.facts = Book(is_trading_day), Facts()
        for at_ms, kind, fields in self.world.told[: self.told]:
            self._tell(at_ms, kind, fields)
        for key, value, headers in self.topics.records:
            self.book.resume(key, value, dict(headers), self.now)

    def play(self):
        """Play the day to its end."""
        steps = [(each.at_ms, 1, self._arrive, each) for each in self.world.arrivals]
        steps += [(told[0] + 20, 0, self._hear, told) for told in self.world.told]
        nine = forgotten_ms(worlds.DAY_BEFORE, is_trading_day)
        steps += [(nine + number * SECOND, 2, self._forget, None) for number in range(3)]
        evening = midnight(TODAY) + 19 * HOUR
        # A kill that came after the last tick happens before the evening's readings.
        steps += [(evening - number * MINUTE, 3, lambda _: None, None) for number in range(1, 5)]
        steps += [(evening + number * MINUTE, 3, self._in_the_evening, number) for number in range(9)]
        steps.sort(key=lambda step: step[:2])
        for at_ms, _, act, what in steps:
            self.now = at_ms
            self._step(lambda act=act, what=what: act(what))
        self._settle()
        self._write()
        return self

    def final(self):
        """Return the days as a reader of the records has them."""
        book = Book(is_trading_day)
        for key, value, headers in self.topics.records:
            book.restore(key, value, dict(headers), self.now)
        return book.days

    def _step(self, act):
        """Settle, then act; start again if killed on the way, and read on from the commit."""
        kill = bool(self.kills) and self.now >= self.kills[0]
        try:
            self._settle(killed_after=self.random.randrange(6) if kill else None)
        except Killed:
            self._restart()
            kill = False
        act()
        if self.random.random() < 0.1:
            self._write()
        if kill:
            self._restart()

    def _restart(self):
        self.kills.pop(0)
        self._start()
        held = {hole.id for day in self.book.days.values() for hole in day.holes}
        self.watcher.restarted(self.now, held)
        for tick in self.ticks[self.topics.committed + 1 :]:
            self._add(tick)

    def _settle(self, killed_after=None):
        """Do what the auditor does all the time; `killed_after` counts writes."""
        self.book.settle(self.now, WAIT_MS, self.facts)
        self.watcher.settled(self.now)
        writes = 0
        for day, each in list(self.book.announcements(self.now)):
            for write in (self._record, each.events, self._record):
                if writes == killed_after:
                    raise Killed
                writes += 1
                if write is each.events:
                    self.topics.events += write
                    each.acknowledge(day)
                else:
                    write(day)

    def _record(self, day):
        self.topics.records.append(encode(day))

    def _write(self):
        """Write what changed and commit; sometimes a member that lost the partition writes, too."""
        last = self.topics.records[-1:] if self.random.random() < 0.1 else []
        for day in list(self.book.changed()):
            self._record(day)
        self.topics.records += [each for each in last if self._is_stale(each)]
        self.topics.committed = len(self.ticks) - 1

    def _is_stale(self, record):
        day = self.book.days.get(split_key(record[0].decode()))
        return day is not None and json.loads(record[1])["offsets"] != {str(PARTITION): day.offsets.get(PARTITION)}

    def _arrive(self, arrival):
        deal = arrival.deal
        trade = Trade(deal.traded_ms, deal.tick_id, arrival.seen_ms, arrival.slot)
        volume = deal.high - deal.low
        tick = Tick(deal.isin, deal.day, volume, deal.high, trade, arrival.source, PARTITION, len(self.ticks))
        self.ticks.append(tick)
        self.watcher.arrived(self.now, arrival)
        self._add(tick)

    def _add(self, tick):
        if self.book.was_forgotten(tick.isin, tick.trade_date, self.now):
            key = record_key(tick.isin, tick.trade_date).encode()
            for record in self.topics.records:
                if record[0] == key:
                    self.book.restore(record[0], record[1], dict(record[2]), self.now)
        self.book.add(tick, self.now)

    def _hear(self, told):
        self.told = bisect_right(self.world.told, told[0], key=lambda each: each[0])
        self._tell(*told)

    def _tell(self, at_ms, kind, fields):
        match kind:
            case "alive":
                self.facts.slot_alive(fields["slot"], fields["alive_ms"])
            case "wanted_since":
                self.facts.wanted_since(fields["isin"], fields["since_ms"])
            case "dead_letter":
                self.facts.dead_letter(fields["isin"], fields["received_ms"])
            case _:
                self.facts.event(event_of(at_ms, kind, fields))

    def _forget(self, _):
        self._write()
        self.book.forget(self.now)

    def _in_the_evening(self, number):
        """Check the day: with REST by two totals and two lists of trades, else by ticks alone."""
        for isin in ISINS:
            day = self.book.day(isin, TODAY)
            if not self.world.has_rest:
                day.check_by_ticks(self.now)
            elif number in {0, 1, 7, 8}:
                day.read_total(Total(self.now, self._total(isin)), over_ms(TODAY))
                self.watcher.read_total(self.now, isin, self._total(isin))
            elif number == 2:
                day.reach_total(self.now)
                self.watcher.reached(self.now, isin)
            elif number in {3, 5, 6}:
                self._read_trades(isin, day)

    def _read_trades(self, isin, day):
        latest = self.world.deals_of(isin)[-self.world.depth :]
        fitting = day.read_trades([RestTrade("", "", each.high - each.low, each.high) for each in latest])
        self.watcher.read_trades(self.now, isin, [(each.low, each.high) for each in latest])
        missed = {each.accumulated for each in fitting} if self.world.backfills else set()
        for deal in latest:
            if deal.high in missed:
                self._arrive(Arrival(self.now, deal, deal.traded_ms, None, "rest"))

    def _total(self, isin):
        deals = self.world.deals_of(isin)
        taken = deals[-1].high - deals[-1].low if self.world.taken_back and deals else 0
        return self.world.volumes.get((isin, TODAY), 0) - taken


def event_of(at_ms, kind, fields):
    """Return what the event topic says of something that happened in a world."""
    detail = {name: fields[name] for name in ("cause", "reason", "state", "silent_seconds") if name in fields}
    if kind == "killed":
        at_ms, kind, detail = fields["alive_ms"], "session_down", {"cause": "killed"}
    if kind == "loss":
        detail |= {"from": rfc3339(fields["from_ms"]), "to": rfc3339(fields["to_ms"])}
    return {
        "event": kind,
        "at": rfc3339(at_ms),
        "slot": fields.get("slot"),
        "instrument": fields.get("isin"),
        "detail": detail,
    }
