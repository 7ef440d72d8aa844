"""A standalone connector is a group of one."""

import asyncio

from connector.shell import group_of_one
from connector.shell.group_of_one import GroupOfOne


async def test_a_group_of_one_assigns_every_slot_and_confirms_its_member(monkeypatch):
    """A standalone connector gets all slots at once, hears from its group, and leaves at once."""
    monkeypatch.setattr(group_of_one, "HEARTBEAT_SECONDS", 0.01)
    assigned, heard, twice = [], [], asyncio.Event()

    def hear(at):
        heard.append(at)
        if len(heard) > 1:
            twice.set()

    one = GroupOfOne({0: 41, 1: 41}, on_assigned=assigned.append, on_heard=hear)
    running = asyncio.create_task(one.run())
    async with asyncio.timeout(30):
        await twice.wait()
        await one.leave()
        await running
    assert (assigned, one.problem, one.unusable, one.clash) == ([{0, 1}], None, None, None)
    assert heard == sorted(heard)
