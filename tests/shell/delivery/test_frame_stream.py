"""Frames of a stream are numbered, kept until they are acknowledged, and bounded."""

import asyncio

import pytest

from connector.shell.delivery import frame_stream
from connector.shell.delivery.frame_stream import FrameStream
from tests.shell.delivery.frames import frame, record

FRAMES = [frame(record(accumulated=number)) for number in range(10)]


async def test_frames_are_read_in_order_and_again():
    """A read waits for frames; those not acknowledged can be read again."""
    stream = FrameStream()
    reading = asyncio.create_task(stream.read(0, 4))
    await asyncio.sleep(0)
    assert not reading.done()
    await stream.add(FRAMES[:6])
    assert await reading == (1, FRAMES[:4])
    assert await stream.read(4, 100) == (5, FRAMES[4:6])
    stream.advance(2)
    assert await stream.read_again(2, 5, 100) == (3, FRAMES[2:5])
    assert await stream.read_again(2, 5, 1) == (3, FRAMES[2:3])
    assert await stream.read_again(0, 5, 4) == (3, FRAMES[2:4]), "what was acknowledged is gone"
    assert (stream.watermark, stream.last_seq) == (2, 6)


async def test_a_stream_waits_for_room(monkeypatch):
    """Above the bound, no frame is added until others are acknowledged."""
    monkeypatch.setattr(frame_stream, "MOST_BYTES", len(FRAMES[0].raw) * 3)
    stream = FrameStream()
    await stream.add(FRAMES[:3])
    adding = asyncio.create_task(stream.add(FRAMES[3:4]))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(adding), 0.01)
    assert stream.last_seq == 3
    stream.advance(1)
    await asyncio.wait_for(adding, 30)
    assert stream.last_seq == 4


async def test_the_watermark_never_goes_back():
    """An older watermark changes nothing."""
    stream = FrameStream()
    await stream.add(FRAMES)
    stream.advance(5)
    stream.advance(3)
    assert stream.watermark == 5
    assert (await stream.read(5, 1)).frames == FRAMES[5:6]
