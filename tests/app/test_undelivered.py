"""The slots' records say at once when nothing is undelivered any more."""

import asyncio
from types import SimpleNamespace

from connector.app.undelivered import Undelivered


async def test_a_round_is_asked_for_once_everything_is_delivered():
    """If a record says that frames are undelivered, their delivery starts a round that says 0."""
    journal, delivered, changed, awaited = SimpleNamespace(pending=5, last_seq=7), asyncio.Event(), asyncio.Event(), []

    async def drained(through):
        awaited.append(through)
        await delivered.wait()

    own = Undelivered(journal, drained, changed)
    task = asyncio.create_task(own.run())
    own.note_written({"slot/0": {"pending": 0}, "slot/1": {"pending": 5}}, [0])
    await asyncio.sleep(0)
    assert (awaited, own.count()) == ([], 5)
    own.note_written({"slot/0": {"pending": 0}, "slot/1": {"pending": 5}}, [0, 1])
    await asyncio.sleep(0)
    assert (awaited, own.count(), changed.is_set()) == ([7], 5, False)
    delivered.set()
    async with asyncio.timeout(30):
        await changed.wait()
    journal.pending = 1  # a newer frame
    assert (own.count(), own.count()) == (0, 1)
    task.cancel()
    await asyncio.wait({task})
