"""What may happen to replicas that share app keys, and what must hold then."""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

from connector.core.status import SILENT_SECONDS
from tests.faults.row import Check, at_most, equal, shown, true
from tests.kafka.reader import create_topics, delete_topic, make_again
from tests.replicas.other_program import OtherProgram
from tests.replicas.rig import (
    IN_USE_WAIT_SECONDS,
    PACE_SECONDS,
    SESSION_TIMEOUT_SECONDS,
    Ledger,
    Replicas,
    Rig,
    bonds,
)

RATE = 200
KEYS, BONDS = 2, 40
# All bonds of a slot are registered one by one; then the last one's next tick comes (5 a second).
REGISTER_SECONDS = PACE_SECONDS * BONDS / KEYS
# Approval key, connect, the first replies; two processes on two cores.
CONNECT_SECONDS = 3.0
LOST_SECONDS = 10.0  # kis.slot_lost_seconds of the row "blocked"
ROUND_SECONDS = 10.0  # a status round finds a lost slot
# A rebalance: a heartbeat until it is noticed, and the join.
REBALANCE_SECONDS = 2.0
RELEASE_SECONDS = 3.0  # what a stop takes to release bonds at KIS
HAND_OVER_SECONDS = RELEASE_SECONDS + REBALANCE_SECONDS + CONNECT_SECONDS + REGISTER_SECONDS  # at a polite stop

Play = Callable[[Rig], Awaitable[list[Check]]]
ROWS: dict[str, tuple[str, str, Play]] = {}


def row(name: str, what: str, expected: str) -> Callable[[Play], Play]:
    """Register a coroutine function as a row."""

    def register(play: Play) -> Play:
        ROWS[name] = (what, expected, play)
        return play

    return register


def figures(ledger: Ledger) -> list[Check]:
    """Return the figures that each row shows."""
    return [
        shown("traded", ledger.traded),
        shown("missed", ledger.missed),
        shown("gap of a bond, s", round(ledger.gap_seconds, 2)),
        shown("repeats", ledger.duplicates),
        shown("sessions opened", ledger.connects),
    ]


async def both(run: Replicas) -> None:
    """Start an owner of all slots that can be cut off, then a standby, and open the market."""
    await run.start("one", fenced=True)
    await run.until_active(60)
    await run.start("two")
    run.market(RATE)
    await traded(run, 5)


async def without_kafka(rig: Rig, run: Replicas, seconds: float, *, then: float) -> None:
    """Cut the fenced replica off from Kafka for so many seconds of trades, then wait `then`."""
    await rig.cluster.proxies[0].stop()
    await traded(run, seconds)
    await rig.cluster.proxies[0].start()
    await traded(run, then)


async def traded(run: Replicas, seconds: float) -> None:
    """Wait until so many seconds' worth of trades happened."""
    goal = len(run.kis.sent) + RATE * seconds
    await run.until(lambda: len(run.kis.sent) >= goal, seconds * 3 + 10)


@row("join", "a second replica joins the owner of all slots", "no session moves: nothing is missed")
async def join(rig: Rig) -> list[Check]:
    """A replica that joins touches nothing of the owner's."""
    async with rig.run() as run:
        await run.start("one")
        await run.until_active(60)
        run.market(RATE)
        await traded(run, 2)
        await run.start("two")
        await traded(run, 8)
        slots = await run.slots_of("one"), await run.slots_of("two")
        ledger = await run.settle()
    return [
        *ledger.checks(owner_changes=0, missed=0),
        equal("slots of the owner", len(slots[0]), KEYS),
        equal("of the other", len(slots[1]), 0),
        *figures(ledger),
    ]


@row(
    "polite",
    "the owner is stopped by SIGTERM",
    "released, closed, handed over: gap ≤ 3 s + rebalance + connect + registrations",
)
async def polite(rig: Rig) -> list[Check]:
    """The standby connects only after the owner closed, and meets no refusal."""
    async with rig.run() as run:
        await both(run)
        await run.end("one")
        took = await run.until_active(60)
        await traded(run, 3)
        ledger = await run.settle()
    bound = HAND_OVER_SECONDS
    return [
        *ledger.checks(owner_changes=1, gap=bound),
        shown("all active after the exit, s", round(took, 2)),
        *figures(ledger),
    ]


@row(
    "killed",
    "the owner is killed",
    f"gap ≤ session timeout ({SESSION_TIMEOUT_SECONDS} s) + rebalance + connect + registrations",
)
async def killed(rig: Rig) -> list[Check]:
    """The standby waits until the group forgets the owner."""
    async with rig.run() as run:
        await both(run)
        await run.end("one", signal.SIGKILL)
        took = await run.until_active(60)
        await traded(run, 3)
        ledger = await run.settle()
    bound = SESSION_TIMEOUT_SECONDS + REBALANCE_SECONDS + CONNECT_SECONDS + REGISTER_SECONDS
    return [
        *ledger.checks(owner_changes=1, gap=bound),
        *ledger.audit_checks("killed"),
        shown("all active after the kill, s", round(took, 2)),
        *figures(ledger),
    ]


@row(
    "frozen",
    "the owner is frozen (SIGSTOP) for 20 s, then thawed",
    "KIS refuses the new owner; nothing is missed",
)
async def frozen(rig: Rig) -> list[Check]:
    """The owner's sockets fill up; thawed, it reads them, and the group returns its slots."""
    async with rig.run() as run:
        await both(run)
        run.signal("one", signal.SIGSTOP)
        await traded(run, 20)
        run.signal("one", signal.SIGCONT)
        await traded(run, 12)
        slots = await run.slots_of("one")
        ledger = await run.settle()
    return [
        *ledger.checks(owner_changes=2, missed=0, in_use=KEYS * 6),
        equal("slots of the thawed owner", len(slots), KEYS),
        *figures(ledger),
    ]


@row(
    "cut off",
    "the owner loses Kafka for 20 s, not KIS",
    "it keeps its sessions and delivers late: nothing is missed, it stays the owner",
)
async def cut_off(rig: Rig) -> list[Check]:
    """The owner without Kafka keeps its sessions: late is better than lost."""
    async with rig.run() as run:
        await both(run)
        await without_kafka(rig, run, 20, then=12)
        slots = await run.slots_of("one")
        ledger = await run.settle()
    return [
        *ledger.checks(owner_changes=2, missed=0, in_use=KEYS * 6),
        equal("slots of the owner", len(slots), KEYS),
        *figures(ledger),
    ]


@row(
    "cut off, thrown out",
    "the owner loses Kafka for 14 s, and KIS lets the newer session win",
    "the new owner throws it out once, and neither fights: gap ≤ connect + registrations",
)
async def thrown_out(rig: Rig) -> list[Check]:
    """The old owner accepts that KIS displaced its sessions."""
    ledger, slots = await newer_wins(rig, 14)
    held = [equal("slots of the new owner", slots, KEYS), equal("sessions opened", ledger.connects, 2 * KEYS)]
    return [*ledger.checks(owner_changes=1, gap=CONNECT_SECONDS + REGISTER_SECONDS), *held, *figures(ledger)]


async def newer_wins(rig: Rig, seconds: float) -> tuple[Ledger, int]:
    """Cut the owner off where the newer session wins; return the ledger and the slots moved."""
    async with rig.run(exchange={"in_use": "kick"}) as run:
        await both(run)
        await without_kafka(rig, run, seconds, then=8)
        slots = await run.slots_of("two")
        return await run.settle(), len(slots)


@row(
    "cut off, thrown out twice",
    "the same for 40 s: the old owner cannot tell a drop of KIS's from the new owner's session",
    "it tries once more, is thrown out again, and leaves the slot alone: gap ≤ wait (3 s) + connect + registrations",
)
async def thrown_out_twice(rig: Rig) -> list[Check]:
    """A session that is dropped again within a minute belongs to somebody else."""
    ledger, slots = await newer_wins(rig, 40)
    held = [equal("slots of the new owner", slots, KEYS), at_most("sessions opened", ledger.connects, 4 * KEYS)]
    return [*ledger.checks(owner_changes=1, gap=3 + CONNECT_SECONDS + REGISTER_SECONDS), *held, *figures(ledger)]


@row(
    "cut off, dropped",
    "the owner loses Kafka for 30 s, and 10 s later KIS drops its sessions",
    f"the new owner gets in at its next attempt: gap ≤ in-use wait ({IN_USE_WAIT_SECONDS} s) + connect + registrations",
)
async def dropped(rig: Rig) -> list[Check]:
    """The owner without contact does not race the new one, and lets go when contact is back."""
    async with rig.run() as run:
        await both(run)
        await rig.cluster.proxies[0].stop()
        await traded(run, 10)
        for key in range(KEYS):
            await run.kis.drop(key)
        await traded(run, 20)
        await rig.cluster.proxies[0].start()
        await traded(run, 8)
        slots = await run.slots_of("two")
        ledger = await run.settle()
    bound = IN_USE_WAIT_SECONDS + CONNECT_SECONDS + REGISTER_SECONDS
    return [
        *ledger.checks(owner_changes=1, gap=bound, in_use=KEYS * 8),
        equal("slots of the new owner", len(slots), KEYS),
        *figures(ledger),
    ]


@row(
    "blind start",
    "the only replica is killed and started again while Kafka is away, for 40 s",
    "it opens the slots it held last after twice the session timeout, and loses nothing of what it hears",
)
async def blind_start(rig: Rig) -> list[Check]:
    """A start without Kafka uses the saved lists and slots."""
    async with rig.run() as run:
        await run.start("one", fenced=True)
        await run.until_active(60)
        run.market(RATE)
        await traded(run, 5)
        await rig.cluster.proxies[0].stop()
        # A kill may lose what is between socket and journal, so here all is journalled first.
        await run.all_received("one")
        await run.end("one", signal.SIGKILL)
        run.market(RATE)
        await run.start("one")
        took = await run.until_active(60)
        await traded(run, 15)
        await rig.cluster.proxies[0].start()
        await traded(run, 5)
        ledger = await run.settle()
    bound = 2 * SESSION_TIMEOUT_SECONDS + 2 * CONNECT_SECONDS + REGISTER_SECONDS
    lost = equal("sent and not delivered", ledger.undelivered, 0)
    return [
        *ledger.checks(owner_changes=0, gap=bound),
        lost,
        shown("all active after the start, s", round(took, 2)),
        *figures(ledger),
    ]


@row(
    "blind limit",
    "the owner loses Kafka for 30 s with replicas.blind_limit_seconds 10",
    "it closes politely then; the new owner follows",
)
async def blind_limit(rig: Rig) -> list[Check]:
    """An owner that is out of contact for too long gives its slots up, for a quick hand-over."""
    async with rig.run() as run:
        await run.start("one", fenced=True, REPLICAS__BLIND_LIMIT_SECONDS="10")
        await run.until_active(60)
        await run.start("two")
        run.market(RATE)
        await traded(run, 5)
        await without_kafka(rig, run, 30, then=5)
        slots = await run.slots_of("two")
        ledger = await run.settle()
    bound = IN_USE_WAIT_SECONDS + CONNECT_SECONDS + REGISTER_SECONDS
    return [
        *ledger.checks(owner_changes=1, gap=bound, in_use=KEYS * 8),
        equal("slots of the new owner", len(slots), KEYS),
        *figures(ledger),
    ]


@row(
    "rolling",
    "three replicas, four slots, each stopped and started in turn",
    "all bonds active again after each; a slot has one owner",
)
async def rolling(rig: Rig) -> list[Check]:
    """Replicas are replaced one by one during market hours."""
    async with rig.run(keys=4) as run:
        names = ["one", "two", "three"]
        for name in names:
            await run.start(name)
        await run.until_active(60)
        run.market(RATE)
        await traded(run, 3)
        took = []
        for name in names:
            await run.end(name)
            took.append(round(await run.until_active(60), 2))
            await run.start(name)
            await traded(run, 2)
        slots = sorted(itertools.chain.from_iterable([await run.slots_of(name) for name in names]))
        ledger = await run.settle()
    bound = RELEASE_SECONDS + REBALANCE_SECONDS + CONNECT_SECONDS + PACE_SECONDS * BONDS / 4 * 2
    return [
        *ledger.checks(owner_changes=4, gap=bound),
        true("each slot has one owner", slots == [0, 1, 2, 3]),
        shown("all active after each exit, s", ", ".join(map(str, took))),
        *figures(ledger),
    ]


@row(
    "move",
    "two replicas with a slot each; lists change so that bonds move between the slots, and one replica is late",
    "a bond that stays wanted misses nothing",
)
async def move(rig: Rig) -> list[Check]:
    """A bond is registered on the new slot before the old one lets it go."""
    async with rig.run(count=12, exchange={"capacity": 9}) as run:
        run.keys = 1  # so that the other replica gets the other slot
        await run.start("one", KIS__SESSION_CAPACITY="9")
        run.keys = 2
        await run.start("two", KIS__SESSION_CAPACITY="9")
        await run.until_active(60)
        slots = await run.slots_of("one"), await run.slots_of("two")
        run.market(RATE)
        await traded(run, 2)
        stay, go = run.isins[:8], run.isins[8:]
        for wanted in (stay, stay + go[:2], stay + go, stay + go[2:]):
            run.signal("two", signal.SIGSTOP)
            await run.by_name["one"].until(lambda wanted=wanted: _write(run, wanted), 10)
            await traded(run, 0.5)
            run.signal("two", signal.SIGCONT)
            await run.until(lambda wanted=wanted: run.registered() == set(wanted), 30)
            await traded(run, 2)
        moved = sum(reply.tr_type == "2" and reply.tr_key in stay for reply in run.kis.replies)
        run.isins = stay
        ledger = await run.settle()
    return [
        *ledger.checks(owner_changes=0, missed=0),
        true("each replica has a slot", slots == ([0], [1])),
        shown("releases of bonds that stayed", moved),
        *figures(ledger),
    ]


async def _write(run: Replicas, wanted: list[str]) -> bool:
    run.by_name["one"].write("desk", {"instruments": wanted})
    return True


@row(
    "blocked",
    "another program takes the app key of one of the owner's two slots for half a minute",
    f"the other slot carries all bonds: gap ≤ kis.slot_lost_seconds ({LOST_SECONDS:g} s) + a round + registrations; "
    "they return without a gap",
)
async def blocked(rig: Rig) -> list[Check]:
    """A slot that KIS keeps blocked gives its bonds to the other slot, until it is free again."""
    async with rig.run(count=20, exchange={"linger_seconds": 0}) as run:
        await run.start("one", KIS__SLOT_LOST_SECONDS=f"{LOST_SECONDS:g}", KIS__IN_USE_WAIT_MAX_SECONDS="5")
        await run.until_active(60)
        run.market(RATE)
        await traded(run, 3)
        before = run.sessions()
        async with OtherProgram(run.kis) as other:
            await run.kis.drop(0)
            await other.take(run.isins[0])
            moved = await run.until_on(1, LOST_SECONDS + 40)
            await traded(run, 20)
        await run.until(lambda: run.sessions() == before, 90)
        await traded(run, 3)
        ledger = await run.settle()
    bound = LOST_SECONDS + ROUND_SECONDS + CONNECT_SECONDS + PACE_SECONDS * 20
    return [
        *ledger.checks(owner_changes=0, gap=bound, in_use=30),
        shown("all bonds on the other slot after, s", round(moved, 2)),
        shown("bonds by slot before and after", ", ".join(str(before[slot]) for slot in sorted(before))),
        *figures(ledger),
    ]


@row(
    "unlike",
    "three slots; one replica has two of the app keys, the other all three",
    "both place alike: each of 100 bonds is carried once, and the third slot is run by the second replica",
)
async def unlike(rig: Rig) -> list[Check]:
    """Replicas with unlike settings know the same slots, and are told that they differ."""
    async with rig.run(keys=3, count=100) as run:
        run.keys = 2
        await run.start("one")
        run.keys = 3
        await run.start("two")
        await run.until_active(90)
        run.market(RATE)
        await traded(run, 10)
        carried = Counter(isin for session in run.kis.sessions for isin in session.tr_keys)
        slots = await run.slots_of("one"), await run.slots_of("two")
        told = [await run.by_name[name].text("/metrics") for name in ("one", "two")]
        ledger = await run.settle()
    differ = 'kis_bond_replicas_differ{what="settings"} 1.0'
    return [
        *ledger.checks(owner_changes=0, missed=0),
        equal("bonds carried by nobody", len(set(run.isins) - carried.keys()), 0),
        equal("bonds carried twice", sum(count > 1 for count in carried.values()), 0),
        true("the slots are the owner's 0 and 1, the other's 2", slots == ([0, 1], [2])),
        equal("replicas that say that they differ", sum(differ in text for text in told), 2),
        *figures(ledger),
    ]


@row(
    "outage",
    "two owners of a slot each, 60 bonds on 82 places: Kafka is away from both for 110 s",
    "neither takes the other for silent: no bond moves, and nothing is missed",
)
async def outage(rig: Rig) -> list[Check]:
    """What a replica could not hear is no reason to carry the bonds of another one."""
    async with rig.run(count=60) as run:
        run.keys = 1
        await run.start("one", fenced=True, KIS__SLOT_LOST_SECONDS=str(int(LOST_SECONDS)))
        run.keys = 2
        await run.start("two", fenced=True, KIS__SLOT_LOST_SECONDS=str(int(LOST_SECONDS)))
        await run.until_active(90)
        carried = {session.app_key: set(session.tr_keys) for session in run.kis.sessions}
        run.market(RATE)
        await traded(run, 5)
        await without_kafka(rig, run, SILENT_SECONDS + 2 * ROUND_SECONDS, then=2 * ROUND_SECONDS)
        moved = {session.app_key: set(session.tr_keys) for session in run.kis.sessions} != carried
        ledger = await run.settle()
    # Whoever joins the group again first gets both slots, until the owner of the other one joins.
    checks = ledger.checks(owner_changes=2, missed=0, in_use=KEYS * 6)
    return [*checks, true("no bond moved", not moved), *figures(ledger)]


@row(
    "restored",
    "the control topic is deleted, and restored with other lists, while the only replica is cut off",
    "back in contact, it carries what the restored topic says, and nothing else; what stays wanted misses nothing",
)
async def restored(rig: Rig) -> list[Check]:
    """A topic made anew is read from its beginning, whatever offset the old one had reached."""
    async with rig.run(count=12) as run:
        await run.start("one", fenced=True)
        await run.until_active(60)
        stay, new = run.isins[:9], bonds(15)[12:]
        for number in range(20):  # the old topic is longer than the new one
            run.by_name["one"].write("desk", {"instruments": run.isins, "note": str(number)})
        run.market(RATE)
        await traded(run, 3)
        await rig.cluster.proxies[0].stop()
        await asyncio.to_thread(make_again, rig.cluster.direct_servers, run.names.control)
        await run.by_name["one"].until(lambda: _write(run, stay), 20)
        run.by_name["one"].write("more", {"instruments": new})
        await traded(run, 5)
        await rig.cluster.proxies[0].start()
        await run.until(lambda: run.registered() == {*stay, *new}, 60)
        await traded(run, 3)
        foreign = run.registered() - {*stay, *new}
        run.isins = stay
        ledger = await run.settle()
    return [
        *ledger.checks(owner_changes=0, missed=0),
        equal("bonds carried that no list names", len(foreign), 0),
        *figures(ledger),
    ]


@row(
    "slot topic",
    "the slot topic is deleted, the standby leaves, and the topic is made anew with one partition",
    "no session is closed: nothing is missed",
)
async def slot_topic(rig: Rig) -> list[Check]:
    """Slots stay with their owner, whatever becomes of the topic that shares them."""
    async with rig.run() as run:
        await both(run)
        await asyncio.to_thread(delete_topic, rig.cluster.direct_servers, run.names.slots)
        await traded(run, 3)
        await run.end("two")
        await traded(run, 10)
        await asyncio.to_thread(create_topics, rig.cluster.direct_servers, {run.names.slots: 1})
        await traded(run, 30)
        slots = await run.slots_of("one")
        ledger = await run.settle()
    return [
        *ledger.checks(owner_changes=0, missed=0),
        equal("slots of the owner", len(slots), KEYS),
        *figures(ledger),
    ]
