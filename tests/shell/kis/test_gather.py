"""Sockets hand over together what came closely together."""

import asyncio

from connector.shell.kis import gather
from connector.shell.kis.gather import gather_of


class Socket:
    """Notes in which turn of the loop it is called."""

    def __init__(self, turns):
        self.handed_over, self.read = [], []
        self._turns = turns

    def hand_over(self):
        """Note it."""
        self.handed_over.append(self._turns[0])

    def read_on(self):
        """Note it."""
        self.read.append(self._turns[0])


async def count(turns):
    """Count the turns of the loop."""
    while True:
        turns[0] += 1
        await asyncio.sleep(0)


async def test_sockets_hand_over_at_once_after_a_pause_and_then_together(monkeypatch):
    """What comes after a pause is not held; what follows on any socket comes with the next read."""
    monkeypatch.setattr(gather, "GATHER_SECONDS", 60)  # the test ends each moment itself
    turns = [0]
    counting = asyncio.create_task(count(turns))
    await asyncio.sleep(0)
    first, same_turn, late = sockets = [Socket(turns) for _ in range(3)]
    one = gather_of(asyncio.get_running_loop())
    assert gather_of(asyncio.get_running_loop()) is one
    one.arrived(first)
    one.arrived(same_turn)
    assert (len(first.handed_over), len(same_turn.handed_over)) == (1, 1)
    await asyncio.sleep(0)
    one.arrived(late)
    await asyncio.sleep(0)
    assert (late.handed_over, [socket.read for socket in sockets]) == ([], [[], [], []])
    one._end()
    while not late.handed_over:
        await asyncio.sleep(0)
    (end,) = {tuple(socket.read) for socket in sockets}
    assert late.handed_over == [end[0] + 1], "with what the others read in that turn"
    one.arrived(late)
    assert len(late.handed_over) == 2, "a new moment begins"
    counting.cancel()
