"""What a rollout does to replicas: a stop while Kafka is away, and a newer release."""

import asyncio
import signal
from pathlib import Path

from tests.faults.row import Check, at_most, equal, shown
from tests.replicas.previous import ROOT, unpack
from tests.replicas.rig import SESSION_TIMEOUT_SECONDS, Replicas, Rig
from tests.replicas.rows import (
    CONNECT_SECONDS,
    HAND_OVER_SECONDS,
    KEYS,
    RATE,
    REGISTER_SECONDS,
    RELEASE_SECONDS,
    both,
    figures,
    row,
    traded,
)

CLOSE_SECONDS = 6.0  # what a stop takes to end its Kafka clients while no broker answers
BLIND_SECONDS = 2.0 * SESSION_TIMEOUT_SECONDS  # what a start without Kafka waits before it connects


@row(
    "stopped without kafka",
    "Kafka is away for 8 s; then the owner is stopped by SIGTERM, and started again while Kafka is away",
    "the stop does not wait for Kafka: gap ≤ release (3 s) + close (6 s) + twice the session timeout + connect + "
    "registrations; nothing that was heard is lost",
)
async def stopped_without_kafka(rig: Rig) -> list[Check]:
    """A stop that nobody can acknowledge ends soon, and the journal outlives it."""
    async with rig.run() as run:
        await run.start("one", fenced=True)
        await run.until_active(60)
        run.market(RATE)
        await traded(run, 5)
        await rig.cluster.proxies[0].stop()
        await traded(run, 8)
        code = await run.by_name["one"].end(signal.SIGTERM)
        await run.start("one")
        took = await run.until_active(60)
        await traded(run, 5)
        await rig.cluster.proxies[0].start()
        await traded(run, 5)
        ledger = await run.settle()
    bound = RELEASE_SECONDS + CLOSE_SECONDS + BLIND_SECONDS + CONNECT_SECONDS + REGISTER_SECONDS
    return [
        *ledger.checks(owner_changes=0, gap=bound),
        equal("exit code of the stop", code, 6),
        equal("sent and not delivered", ledger.undelivered, 0),
        shown("all active after the start, s", round(took, 2)),
        *figures(ledger),
    ]


@row(
    "upgrade",
    "two replicas of the release before are replaced by this release in turn, the standby first",
    "one hand-over, as in any restart: gap ≤ 3 s + rebalance + connect + registrations",
)
async def upgrade(rig: Rig) -> list[Check]:
    """Both releases are in the group for a while, and understand each other."""
    async with rig.run() as run:
        before = await asyncio.to_thread(unpack, run.folder / "before")
        await run.start("one", program=before)
        await run.until_active(60)
        await run.start("two", program=before)
        run.market(RATE)
        await traded(run, 3)
        await _replace(run, "two", ROOT)
        await traded(run, 3)
        await _replace(run, "one", ROOT)
        took = await run.until_active(60)
        await traded(run, 3)
        slots = await run.slots_of("two")
        ledger = await run.settle()
    bound = HAND_OVER_SECONDS
    return [
        *ledger.checks(owner_changes=1, gap=bound),
        equal("slots of the standby that was replaced first", len(slots), KEYS),
        at_most("sessions opened", ledger.connects, 2 * KEYS),
        equal("sent and not delivered", ledger.undelivered, 0),
        shown("all active after the second start, s", round(took, 2)),
        *figures(ledger),
    ]


@row(
    "downgrade",
    "two replicas are replaced by the release before in turn, as by helm rollback",
    "one hand-over, as in any restart: gap ≤ 3 s + rebalance + connect + registrations",
)
async def downgrade(rig: Rig) -> list[Check]:
    """The release before reads the journal and the topics of this one."""
    async with rig.run() as run:
        before = await asyncio.to_thread(unpack, run.folder / "before")
        await both(run)
        for name in ("two", "one"):
            await _replace(run, name, before)
            await traded(run, 3)
        await run.until_active(60)
        ledger = await run.settle()
    bound = HAND_OVER_SECONDS
    return [
        *ledger.checks(owner_changes=1, gap=bound),
        equal("sent and not delivered", ledger.undelivered, 0),
        *figures(ledger),
    ]


async def _replace(run: Replicas, name: str, program: Path) -> None:
    """Stop a replica and start it again with the connector of another folder."""
    await run.end(name)
    await run.start(name, program=program)
