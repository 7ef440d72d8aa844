"""Frames as KIS sends them, and a journal in memory."""

import asyncio
import time
from pathlib import Path

from connector.core.bonds.isin import with_check_digit
from connector.core.journal.record import Block
from connector.core.ticks.frame import Received

SAMPLE = (Path(__file__).parents[2] / "data/portal/h0bjcnt0-frame.txt").read_text(encoding="utf-8").split("|", 3)[3]
ISINS = [with_check_digit(f"KR10350{number:04d}") for number in range(8)]


def record(isin=ISINS[0], volume=1, accumulated=1, price="10575.00"):
    """Return one record's text."""
    columns = SAMPLE.split("^")
    columns[0], columns[6], columns[7], columns[16] = isin, price, str(volume), str(accumulated)
    return "^".join(columns)


def frame(*records, raw=None, slot=0):
    """Return a frame received a moment ago."""
    return Received(
        time.time_ns(), slot, 7, False, raw or (f"0|H0BJCNT0|{len(records):03d}|" + "^".join(records)).encode()
    )


class MemoryJournal:
    """Frames numbered from 1, with the part of the journal that delivery uses."""

    def __init__(self):
        self.frames = []
        self.watermark = 0
        self.cipher_keys = {}
        self.lost = []
        self.lanes_at_start = {}
        self._arrival = asyncio.Event()

    @property
    def last_seq(self):
        """The number of the newest frame."""
        return len(self.frames)

    def append(self, *frames):
        """Add frames."""
        self.frames += frames
        self._arrival.set()

    async def read(self, after, limit):
        """Wait for frames after a number."""
        while len(self.frames) <= after:
            self._arrival.clear()
            await self._arrival.wait()
        return self._block(after, after + limit)

    async def read_again(self, after, through, limit):
        """Return frames after one number, up to another."""
        await asyncio.sleep(0)
        return self._block(after, min(through, after + limit))

    def _block(self, after, through):
        frames = self.frames[after:through]
        return Block(after + 1, frames)

    def keys(self, slot, session):
        """Return a session's keys."""
        return self.cipher_keys.get((slot, session), ())

    def advance(self, watermark):
        """Record the watermark, which never goes back."""
        assert watermark <= len(self.frames)
        self.watermark = max(self.watermark, watermark)

    def lose(self, seq, frame):
        """Keep a frame that was given up."""
        self.lost.append(frame)
