"""How a running auditor stops."""

import asyncio
from types import SimpleNamespace

from connector.app.audit import running
from connector.app.audit.running import RunningAuditor
from connector.app.stop import Stop


class Part:
    """A part that runs until it is cancelled."""

    def __init__(self):
        self.ended = False

    async def run(self):
        """Wait until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


class Group(Part):
    """A group whose flush may hang."""

    def __init__(self, *, hangs=False):
        super().__init__()
        self.hangs, self.flushed = hangs, 0

    async def flush(self):
        """Flush, or hang."""
        self.flushed += 1
        if self.hangs:
            await asyncio.Event().wait()


async def stopped(group):
    """Run an auditor, ask it to stop, and return its parts once it has ended."""
    parts = SimpleNamespace(stop=Stop(), group=group, facts=Part(), round=Part())
    auditor = RunningAuditor(parts, None, 0)
    task = asyncio.create_task(auditor.run())
    await asyncio.sleep(0)
    auditor.stop()
    await asyncio.wait_for(task, 30)
    return parts


async def test_a_stop_writes_what_changed_first():
    """At a stop the last records are written before the parts end."""
    parts = await stopped(Group())
    assert (parts.group.flushed, parts.group.ended, parts.facts.ended, parts.round.ended) == (1, True, True, True)


async def test_a_stop_does_not_wait_for_ever(monkeypatch):
    """If Kafka does not acknowledge, the stop goes on; the next start repeats what is missing."""
    monkeypatch.setattr(running, "LEAVE_SECONDS", 0.05)
    assert (await stopped(Group(hangs=True))).group.ended
