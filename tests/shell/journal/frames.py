"""Frames, and what tests of a whole journal ask of it."""

import asyncio

from connector.core.ticks.frame import Received


def frame(number, *, slot=0, raw=None):
    """Return the frame of this number, which differs from all others."""
    return Received(1000 + number, slot, 7, False, raw or b"frame %d." % number)


def frames(first, last):
    """Return the frames of these numbers."""
    return [frame(number) for number in range(first, last + 1)]


async def collect(read, after, through, limit=100):
    """Return the frames that a read gives up to a number, over numbers that cannot be read."""
    found = []
    async with asyncio.timeout(30):
        while after < through:
            block = await read(after, limit)
            assert block.last_seq > after
            found, after = [*found, *block.frames], block.last_seq
    return found


async def until(condition):
    """Wait until a condition holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def assert_law(source):
    """Check that every received frame is finished, pending or lost."""
    assert source.received == source.finished + source.pending + sum(source.lost.values())
