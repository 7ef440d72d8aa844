"""Sends order books and indices to the sessions that registered them beside trades."""

import asyncio
import time
from random import Random

from simulator.exchange import Exchange
from simulator.feed import Feed
from simulator.frame import plain
from simulator.indices import Index
from simulator.market import seoul
from simulator.quotes import book
from simulator.request import QUOTES_TR_ID, TR_ID
from simulator.sent_log import Sent, SentLog, SentRecord
from simulator.settings import SimulatorSettings

# A guess: nobody recorded how often KIS sends either.
EVERY_SECONDS = 1.0


class SiblingFeed:
    """Sends each registered order book and index once a second, while trades are sent."""

    def __init__(self, settings: SimulatorSettings, exchange: Exchange, trades: Feed, log: SentLog) -> None:
        self._settings, self._exchange, self._trades, self._log = settings, exchange, trades, log
        self._random = Random(f"{settings.seed}/quotes")
        self._indices: dict[str, Index] = {}

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if self._trades.rate > 0:
                self.send()

    def send(self) -> None:
        """Send each session what it registered, the same text to all that registered the same."""
        now = self._settings.clock()
        made: dict[tuple[str, str], str] = {}
        for session, connection in list(self._exchange.by_number.values()):
            for tr_id, tr_key in session.registered:
                if tr_id == TR_ID:
                    continue
                record = made.get((tr_id, tr_key)) or made.setdefault((tr_id, tr_key), self._record(tr_id, tr_key, now))
                if connection.send(plain([record], tr_id)):
                    session.note_traffic(time.monotonic())
                    sent = (SentRecord(tr_key, record),)
                    self._log.add(Sent(time.time_ns(), session.app_key, session.number, "sibling", sent))
        self._log.flush()

    def _record(self, tr_id: str, tr_key: str, now: float) -> str:
        day, hour = seoul(now)
        if tr_id == QUOTES_TR_ID:
            return book(self._trades.market.trading(tr_key, now), hour, self._random)
        index = self._indices.get(tr_key) or self._indices.setdefault(tr_key, Index(tr_key, self._settings.seed))
        return index.value(day, hour)
