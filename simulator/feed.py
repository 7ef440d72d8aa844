"""Sends each trade to the sessions that registered its bond, with the faults switched on."""

import asyncio
import time
from collections.abc import Sequence
from random import Random

from simulator import frame, malformed
from simulator.connection import Connection
from simulator.exchange import Exchange
from simulator.faults import Faults
from simulator.market import Market
from simulator.sent_log import Sent, SentLog, SentRecord
from simulator.session import Session
from simulator.settings import SimulatorSettings
from simulator.stats import Stats

GRID_SECONDS = 0.01
SLOW_GRID_SECONDS = 0.25
MOST_RECORDS = 999
# After a delay of the event loop, the feed catches up on at most this much time: a market does not
# wait.
CATCH_UP_SECONDS = 1.0
# After this many ticks the feed lets the event loop read what came in.
BURST_TICKS = 500

Held = tuple[bytes, Sent]


class Feed:
    """Sends ticks at a steady rate.

    `rate` is in ticks per second over all sessions. It may change at any time.
    """

    def __init__(
        self, settings: SimulatorSettings, exchange: Exchange, faults: Faults, log: SentLog, stats: Stats
    ) -> None:
        self.rate = settings.rate
        self._settings, self._exchange, self._faults, self._log, self._stats = settings, exchange, faults, log, stats
        self.market = Market(settings.seed, settings.ccnl_depth)
        self._choice = Random(f"{settings.seed}/choice")
        self._malformed = malformed.endless()
        self._held: dict[int, Held] = {}

    async def run(self) -> None:
        """Send `rate` ticks a second in small bursts, until cancelled."""
        loop = asyncio.get_running_loop()
        owed, before = 0.0, loop.time()
        while True:
            rate, batch = self.rate, self.batch
            grid = min(max(batch / rate, GRID_SECONDS), SLOW_GRID_SECONDS) if rate > 0 else SLOW_GRID_SECONDS
            await asyncio.sleep(grid if owed < batch else 0)
            now = loop.time()
            owed = min(owed + rate * (now - before), max(rate * CATCH_UP_SECONDS, batch))
            before = now
            if not self._exchange.holders and not self._settings.bonds:
                owed = 0.0
            elif owed >= batch:
                frames = min(int(owed), max(BURST_TICKS, batch)) // batch
                self._burst(frames, batch)
                owed -= frames * batch

    @property
    def batch(self) -> int:
        """The most ticks of a frame."""
        return min(self._faults.number("batch", 1), MOST_RECORDS)

    def _burst(self, frames: int, batch: int) -> None:
        isins = sorted({*self._settings.bonds, *self._exchange.holders})
        for _ in range(frames):
            first = self._one_of(isins)
            rest: list[str] = []
            if batch > 1 and first in self._exchange.holders:
                # A frame goes to one session, so that session must have registered all its bonds.
                neighbours = self._exchange.by_number[self._exchange.holders[first][0]][0].tr_keys
                rest = [self._one_of(neighbours) for _ in range(batch - 1)]
            self.trade([first, *rest])
        self._log.flush()

    def _one_of(self, isins: Sequence[str]) -> str:
        return isins[int(self._choice.random() * len(isins))]

    def trade(self, isins: list[str]) -> list[str]:
        """Make one trade of each bond and return the trades.

        Each session gets the trades of its own bonds in one frame.
        """
        now = self._settings.clock()
        frames: dict[int, list[SentRecord]] = {}
        made = []
        for isin in isins:
            record = self.market.tick(isin, now)
            made.append(record)
            holders = self._exchange.holders.get(isin, ())
            for number in holders:
                frames.setdefault(number, []).append(SentRecord(isin, record))
            if not holders:
                self._log.add(Sent(time.time_ns(), None, -1, "unheard", (SentRecord(isin, record),)))
        for number, records in frames.items():
            self._send(number, records)
        return made

    def _send(self, number: int, records: list[SentRecord]) -> None:
        session, connection = self._exchange.by_number[number]
        good = [record for record in records if not self._withhold(session, record)]
        if not good:
            return
        if self._faults.strike("malformed"):
            self._spoil(session, connection, good)
        columns = "".join(f"^extra{index}" for index in range(1, self._faults.number("extra", 0) + 1))
        if columns:
            good = [SentRecord(record.tr_key, record.raw + columns, record.reason) for record in good]
        self._pass_on(session, connection, self._framed(session, good))

    def _withhold(self, session: Session, record: SentRecord) -> bool:
        if not self._faults.strike("missing"):
            return False
        self._log.add(Sent(time.time_ns(), session.app_key, session.number, "withheld", (record,)))
        return True

    def _spoil(self, session: Session, connection: Connection, records: list[SentRecord]) -> None:
        """Send a malformed frame before `records`, or append a malformed record to `records`."""
        match next(self._malformed)(records[0].raw):
            case malformed.BadRecord(reason, raw):
                records.append(SentRecord(records[0].tr_key, raw, reason))
            case malformed.BadFrame(reason, raw, binary):
                sent = Sent(
                    time.time_ns(), session.app_key, session.number, "malformed", raw=raw, reason=reason, binary=binary
                )
                self._write(session, connection, (raw, sent))

    def _framed(self, session: Session, records: list[SentRecord]) -> Held:
        texts, caret = [record.raw for record in records], "trailing-caret" in self._faults
        keys = session.keys(records[0].tr_key) if "encrypted" in self._faults else None
        raw = (
            frame.plain(texts, trailing_caret=caret)
            if keys is None
            else frame.encrypted(texts, keys, trailing_caret=caret)
        )
        return raw, Sent(
            time.time_ns(), session.app_key, session.number, "ticks", tuple(records), encrypted=keys is not None
        )

    def _pass_on(self, session: Session, connection: Connection, new: Held) -> None:
        """Write a frame once, or as the faults `reorder` and `duplicate` say."""
        if session.number not in self._held and self._faults.strike("reorder"):
            self._held[session.number] = new
            return
        self._write(session, connection, new)
        if self._faults.strike("duplicate"):
            self._write(session, connection, new, copy=True)
        if (held := self._held.pop(session.number, None)) is not None:
            self._write(session, connection, held)

    def _write(self, session: Session, connection: Connection, new: Held, *, copy: bool = False) -> None:
        raw, sent = new
        if not connection.send(raw, binary=sent.binary):
            if sent.kind == "ticks" and not copy:
                self._log.add(Sent(sent.at, sent.app_key, sent.session, "unheard", sent.records))
            return
        session.note_traffic(time.monotonic())
        if copy:
            sent = Sent(
                time.time_ns(), sent.app_key, sent.session, sent.kind, sent.records, encrypted=sent.encrypted, copy=True
            )
        self._log.add(sent)
        self._stats.frames += 1
        self._stats.bytes_sent += len(raw)
        good = sum(record.reason is None for record in sent.records)
        self._stats.ticks += good
        self._stats.repeats += good if copy else 0
        self._stats.malformed += sent.reason is not None or any(record.reason is not None for record in sent.records)
        if connection.waiting_bytes > self._settings.send_buffer_bytes:
            connection.reset()

    def emit(self, raw: bytes, app_key: int, *, binary: bool) -> None:
        """Send `raw` as one frame to the session of `app_key`.

        Raises LookupError if the app key has no session.
        """
        session, connection = self._exchange.find(app_key)
        self._write(
            session, connection, (raw, Sent(time.time_ns(), app_key, session.number, "raw", raw=raw, binary=binary))
        )
        self._log.flush()

    async def emit_ticks(self, isin: str, count: int, per_frame: int) -> list[str]:
        """Send `count` trades of one bond, `per_frame` to a frame, and return their records.

        The frames go out as fast as the clients read. Raises LookupError if no session
        registered the bond.
        """
        if isin not in self._exchange.holders:
            raise LookupError(f"No session registered {isin}")
        made: list[str] = []
        for start in range(0, count, per_frame):
            made += self.trade([isin] * min(per_frame, count - start))
            for number in self._exchange.holders.get(isin, ()):
                await self._exchange.by_number[number][1].flowing()
        self._log.flush()
        return made
