"""Rows E: what the writers of lists do."""

import asyncio
from functools import partial

from tests.faults.rig import Rig, Run, bonds
from tests.faults.row import Check, at_least, equal, row

ROOM = 5
TIMES = 20


@row(
    "E1",
    fault="a full session: each of ten lists is written again 20 times, word for word and without a time",
    expected="no bond is released, registered or asked for again; each keeps its place",
)
async def written_again(rig: Rig) -> list[Check]:
    """Ten desks ask for one bond each, and five fit: the first five, whoever repeats his wish."""
    wanted = bonds(2 * ROOM)
    async with rig.run(
        isins=wanted[:ROOM], exchange={"capacity": ROOM}, settings={"KIS__SESSION_CAPACITY": str(ROOM)}
    ) as run:
        connector = run.connector
        lists = [(isin, {}) for isin in wanted]
        await asyncio.to_thread(connector.write_all, [*lists[:ROOM], ("desk", None), *lists[ROOM:]])
        await connector.until_state("WAITING_CAPACITY", wanted[ROOM:], 60)
        asked = len(run.kis.replies)
        for earlier in range(1, TIMES + 1):
            await asyncio.to_thread(connector.write_all, lists)
            await connector.until(partial(_is_read, run, wanted[-1], len(wanted) * (earlier + 1)), 60)
        await run.passed(2)
        carried = {isin for session in run.kis.sessions for isin in session.tr_keys}
        requests = len(run.kis.replies) - asked
    return [
        *run.checks(),
        equal("requests to KIS meanwhile", requests, 0),
        equal("bonds that kept their place", len(carried & set(wanted[:ROOM])), ROOM),
        at_least("lists written", len(wanted) * TIMES, 200),
    ]


async def _is_read(run: Run, isin: str, offset: int) -> bool:
    """Whether the connector's status reflects this bond's record at the offset or a later one."""
    _, status = await run.connector.ask("/status")
    return bool(status) and status["instruments"].get(isin, {}).get("control", {}).get("offset", -1) >= offset
