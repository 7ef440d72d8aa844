"""Rows B: faults on KIS's side."""

import asyncio
import time
from collections import Counter
from datetime import datetime
from functools import partial

from prometheus_client.parser import text_string_to_metric_families

from simulator.reply import pingpong
from tests.faults.front import Front
from tests.faults.rig import Rig, Run, bonds
from tests.faults.row import Check, at_least, at_most, equal, row, shown, true
from tests.faults.rows_kafka import rss_mb

# The slow answer brings a key in the end.
SERVICE_FAULTS = ("approval-down=503", "approval-down=429", "approval-error=EGW00103", "approval-slow=5")
ENDS = ("close=1000", "close=1001", "no-close-frame", "close=1011", "close=1012", "abrupt")


@row(
    "B1",
    fault="session ended by 1000, 1001, 1011, 1012, without a close frame (1006), by RST",
    expected="what was sent before is read: M = 0; each end told by session_down and session_up",
)
async def session_ended(rig: Rig) -> list[Check]:
    """Read the buffer to its end, connect again, register again."""
    async with rig.run() as run:
        for how in ENDS:
            await run.passed(1.5)
            connects = len(run.kis.connects)
            await run.kis.drop(0, how)
            await run.until(partial(_more_connects, run, connects), 30)
            await run.connector.until_state("ACTIVE", run.isins)
    kinds = Counter(event["event"] for event in run.events)
    return [
        *run.checks(connects=len(ENDS) + 1),
        equal("session_up", kinds["session_up"], len(ENDS) + 1),
        equal("session_down", kinds["session_down"], len(ENDS) + 1),
        shown("causes", _causes(run)),
        shown("seconds without a session, all six", round(_seconds_down(run), 1)),
        *await run.audit_checks("closed", "reset"),
    ]


def _causes(run: Run) -> str:
    """Return the number of ended sessions by cause."""
    causes = Counter(event["detail"]["cause"] for event in run.events if event["event"] == "session_down")
    return ", ".join(f"{cause} {count}" for cause, count in sorted(causes.items()))


def _more_connects(run: Run, than: int) -> bool:
    return len(run.kis.connects) > than


def _seconds_down(run: Run) -> float:
    """Return the time between each session_down and the next session_up."""
    down, total = None, 0.0
    for event in run.events:
        at = datetime.fromisoformat(event["at"])
        if event["event"] == "session_down":
            down = at
        elif event["event"] == "session_up" and down is not None:
            total, down = total + (at - down).total_seconds(), None
    return total


@row(
    "B2",
    fault="accepted and closed at once, then the app key in use (OPSP8996), for 60 s each (20 s in the quick run)",
    expected="at most 10 attempts in 60 s (5 in 20 s); BLOCKED while in use",
)
async def no_knocking(rig: Rig) -> list[Check]:
    """Keep to the backoff's budget; only data or PINGPONG bring its minimum back."""
    seconds, most = (60, 10) if rig.full else (20, 5)
    settings = {} if rig.full else {"KIS__IN_USE_WAIT_SECONDS": "8"}
    attempts: dict[str, int] = {}
    async with rig.run(settings=settings) as run:
        for fault in ("close-at-once", "reply:*=OPSP8996"):
            await run.passed(2)
            before = len(run.kis.connects)
            run.kis.faults.set(fault)
            await run.kis.drop(0, "close=1001")
            await run.passed(seconds)
            attempts[fault] = len(run.kis.connects) - before
            _, status = await run.connector.ask("/status")
            run.kis.faults.clear(fault.partition("=")[0])
            await run.connector.until_state("ACTIVE", run.isins, 120)
        total = len(run.kis.connects)
    return [
        *run.checks(connects=total),
        at_most("attempts while closed at once", attempts["close-at-once"], most),
        at_most("attempts while in use", attempts["reply:*=OPSP8996"], most),
        true("slot BLOCKED while in use", status["slots"]["0"]["state"] == "BLOCKED"),
        *await run.audit_checks("closed", "in_use"),
    ]


@row(
    "B3",
    fault="a session that dies silently",
    expected="given up within kis.silence_timeout_seconds + 1 s: 46 s (6 s in the quick run)",
    is_timed=True,
)
async def silent(rig: Rig) -> list[Check]:
    """A session without any frame for the timeout ends."""
    timeout = 45 if rig.full else 5
    async with rig.run(
        settings={"KIS__SILENCE_TIMEOUT_SECONDS": str(timeout)}, exchange={"pingpong_seconds": 1.0}
    ) as run:
        await run.passed(2)
        run.kis.faults.set("silent")
        since = time.monotonic()
        await run.connector.until(partial(_is_down, run), timeout + 30)
        lasted = time.monotonic() - since
        run.kis.faults.clear("silent")
        await run.connector.until_state("ACTIVE", run.isins, 60)
    return [
        *run.checks(connects=2),
        at_most("T, s", round(lasted, 2), timeout + 1),
        *await run.audit_checks("silence"),
    ]


async def _is_down(run: Run) -> bool:
    _, status = await run.connector.ask("/status")
    return bool(status) and status["slots"]["0"]["state"] != "CONNECTED"


@row(
    "B4",
    fault="Kafka down for 30 min (15 s in the quick run)",
    expected="the exchange is never held up, no session ends",
)
async def kafka_down(rig: Rig) -> list[Check]:
    """The reader does not notice Kafka's absence."""
    async with rig.run() as run:
        await run.passed(2)
        await rig.cluster.away()
        await run.passed(1800 if rig.full else 15)
        await rig.cluster.heal()
        run.watch.healed()
    return run.checks()


@row(
    "B5",
    fault="PINGPONG 100 times at 3,000 ticks/s with Kafka down",
    expected="answered with the same text, p99 < 1 s, no session ends",
    is_timed=True,
)
async def pingpong_under_load(rig: Rig) -> list[Check]:
    """The reader itself answers PINGPONG."""
    waits = []
    async with rig.run(rate=3000) as run:
        await rig.cluster.away()
        for _ in range(100):
            waits.append(await seconds_to_answer(run))
            await run.passed(0.05)
        identical = all(pong.identical for pong in run.kis.sessions[0].pongs)
        await rig.cluster.heal()
        run.watch.healed()
    waits.sort()
    return [
        *run.checks(),
        true("identical texts", identical),
        at_most("p99, s", round(waits[98], 3), 1),
    ]


async def seconds_to_answer(run: Run) -> float:
    """Send a PINGPONG on the one session, and return how long the answer took."""
    (session,) = run.kis.sessions
    answered, raw, since = len(session.pongs), pingpong(time.time()).encode(), time.monotonic()
    session.note_pingpong(raw, since)
    await run.kis.emit(raw)
    async with asyncio.timeout(40):
        while len(session.pongs) == answered:
            await asyncio.sleep(0.002)
    return time.monotonic() - since


@row(
    "B6",
    fault="burst: ten times the ticks for 60 s (10 s in the quick run), 5,000 a second",
    expected="L = M = 0; memory grows by at most 64 MiB",
)
async def burst(rig: Rig) -> list[Check]:
    """The journal absorbs the burst, whatever Kafka does with it."""
    async with rig.run(rate=500) as run:
        await run.passed(3)
        before = rss_mb(run)
        run.market(5000)
        await run.passed(60 if rig.full else 10)
        run.market()
        run.watch.healed()
        p99 = _quantile(await run.connector.text("/metrics"), 0.99)
    return [
        *run.checks(),
        at_most("growth of memory, MiB", run.ledger.watched.peak_rss_mb - before, 64),
        shown("p99 receive to acknowledgement, s, at most", p99),
    ]


def _quantile(metrics: str, share: float) -> float:
    """Return the upper bound of the bucket that holds this share of all ticks."""
    name = "kis_bond_receive_to_ack_seconds_bucket"
    families = text_string_to_metric_families(metrics)
    buckets = [
        (float(sample.labels["le"]), sample.value)
        for family in families
        for sample in family.samples
        if sample.name == name
    ]
    total = max(count for _, count in buckets)
    return min(bound for bound, count in buckets if count >= share * total)


@row(
    "B7",
    fault="handshake answered 403, 503, by a redirect to another port, by a TLS alert",
    expected="no byte to the other port; back-off; back when it is right again",
)
async def handshake_refused(rig: Rig) -> list[Check]:
    """No redirect is followed, and no secret reaches a stranger."""
    front = Front()

    attempts: dict[str, int] = {}
    try:
        async with rig.run() as run:
            await run.connector.end()
            port = await front.start(int(run.kis.websocket_url.rpartition(":")[2]))
            run.connector.environment["KIS_BOND_KIS__WEBSOCKET_URL"] = f"ws://127.0.0.1:{port}"
            await run.connector.start()
            await run.connector.until_state("ACTIVE", run.isins, 60)
            for fault in ("handshake=403", "handshake=503"):
                before = len(run.kis.connects)
                run.kis.faults.set(fault)
                await run.kis.drop(0, "close=1001")
                await run.passed(6)
                attempts[fault] = len(run.kis.connects) - before
                run.kis.faults.clear("handshake")
                await run.connector.until_state("ACTIVE", run.isins, 60)
            for mode in ("redirect", "tls"):
                before = front.refused
                front.mode = mode
                await run.kis.drop(0, "close=1001")
                await run.passed(6)
                attempts[mode] = front.refused - before
                front.mode = None
                await run.connector.until_state("ACTIVE", run.isins, 60)
            total = len(run.kis.connects)
    finally:
        await front.stop()
    return [
        *run.checks(connects=total),
        equal("bytes at the other port", len(front.trapped), 0),
        at_least("fewest attempts in 6 s", min(attempts.values()), 1),
        at_most("most attempts in 6 s", max(attempts.values()), 4),
    ]


@row(
    "B8",
    fault="room for fewer: 44 bonds where 41 go, six where three go",
    expected="the accepted stay; waiting set = published status, with OPSP0008",
)
async def no_room(rig: Rig) -> list[Check]:
    """The limit is learned, and the rest waits visibly."""
    checks: list[Check] = []
    for wanted, room in ((44, 41), (6, 3)):
        async with rig.run(
            isins=bonds(wanted), active=room, exchange={"capacity": room}, rate=2500 if room > 10 else 600
        ) as run:
            await run.passed(1)
            registered = {isin for session in run.kis.sessions for isin in session.tr_keys}
            await run.connector.until(partial(_published_waiting, run, set(bonds(wanted)) - registered), 30)
            published = await run.connector.latest(run.connector.names.status)
        waiting = {key.partition("/")[2]: one for key, one in published.items() if one["state"] == "WAITING_CAPACITY"}
        checks += [
            *run.checks(),
            equal(f"waiting of {wanted}", len(waiting), wanted - room),
            true("published = not registered", set(waiting) == set(bonds(wanted)) - registered),
        ]
        if room < 41:
            checks.append(
                at_least("of them with OPSP0008", sum(one["code"] == "OPSP0008" for one in waiting.values()), 1)
            )
    return checks


async def _published_waiting(run: Run, expected: set[str]) -> bool:
    published = await run.connector.latest(run.connector.names.status)
    return {
        key.partition("/")[2] for key, one in published.items() if one.get("state") == "WAITING_CAPACITY"
    } == expected


@row(
    "B9",
    fault="every second reply lost, so that some requests meet ALREADY IN SUBSCRIBE",
    expected="all bonds confirmed; OPSP0002 counts as success",
)
async def replies_lost(rig: Rig) -> list[Check]:
    """The request is repeated after a time; a registered bond stays registered."""
    settings = {"KIS__REPLY_TIMEOUT_SECONDS": "1"}
    async with rig.run(settings=settings, exchange={"faults": ("lost-replies=2",)}, isins=bonds(12)) as run:
        await run.passed(1)
        codes = Counter(answer.code for answer in run.kis.replies)
    return [*run.checks(), at_least("OPSP0002", codes["OPSP0002"], 1), shown("replies", str(dict(codes)))]


@row(
    "B10",
    fault="every tenth frame sent twice, every seventh swapped with the next",
    expected="published as received: D = 0 beyond the exchange's copies, R = 0 against what was sent",
)
async def repeated(rig: Rig) -> list[Check]:
    """Frames that KIS repeats or reorders are neither dropped nor sorted."""
    async with rig.run(exchange={"faults": ("duplicate=10", "reorder=7")}) as run:
        await run.passed(5)
        run.market(0)
        await run.passed(0.5)
        run.kis.faults.clear()
        run.market()
        await run.passed(1)
    copies = sum(frame.copy for frame in run.kis.sent)
    return [*run.checks(), at_least("copies sent", copies, 100), equal("D beyond them", run.ledger.duplicates, 0)]


@row(
    "B11",
    fault="approval service down, 429, wrong key, slow: the session ends, once with a kept key that KIS knows, "
    "once with one it forgot",
    expected="the kept key serves the next connect; a forgotten one is asked for anew under each fault, "
    "until the service gives one",
)
async def approval_down(rig: Rig) -> list[Check]:
    """Only registering needs an approval key, and a new key at most once a minute."""
    asked: dict[str, int] = {}
    async with rig.run(settings={"KIS__RECONNECT_MAX_SECONDS": "2"}) as run:
        await run.passed(2)
        run.kis.faults.set(SERVICE_FAULTS[0])
        await run.kis.drop(0, "close=1001")
        await run.connector.until_state("DISCONNECTED", run.isins, 10)
        await run.connector.until_state("ACTIVE", run.isins, 60)
        asked_with_a_key = len(run.kis.approvals)
        run.kis.faults.clear()
        run.kis.expire_approvals()
        for fault in SERVICE_FAULTS:
            before = len(run.kis.approvals)
            run.kis.faults.set(fault)
            if fault == SERVICE_FAULTS[0]:
                await run.kis.drop(0, "close=1001")
            await run.until(partial(_asked_again, run, before), 90)
            asked[fault] = len(run.kis.approvals) - before
            run.kis.faults.clear()
        await run.connector.until_state("ACTIVE", run.isins, 60)
    return [
        # The start, the reused key, the forgotten one. After the wrong key the session closes, and
        # the next session first needs a key.
        *run.checks(connects=4),
        equal("approval calls while the key served", asked_with_a_key, 1),
        *(at_least(f"calls answered under {fault}", count, 1) for fault, count in asked.items()),
        shown("causes", _causes(run)),
    ]


def _asked_again(run: Run, than: int) -> bool:
    return len(run.kis.approvals) > than
