"""Rows A24 to A27: records that Kafka refuses."""

import time
from functools import partial

from connector.core.ticks.avro import decode
from tests.deployment import Deployment
from tests.faults.ledger import SCHEMA
from tests.faults.rig import Rig, Run
from tests.faults.row import Check, at_least, at_most, equal, row, shown, true
from tests.faults.rows_kafka import alter
from tests.faults.rows_process import own_clock
from tests.kafka.reader import create_topics

UNREADABLE = "0|H0BJCNT0|001|nonsense"
TOO_SMALL = "50"  # bytes; Kafka adds 61 to each batch
LETTER_SECONDS = 60  # after this, a dead letter that Kafka refuses in every form is a counted loss


def topics(connector: Deployment, ticks: dict[str, str] | None = None, letters: dict[str, str] | None = None) -> None:
    """Create the topics, those of ticks and dead letters with these settings, `_` for `.`."""
    names = connector.names
    create_topics(connector.bootstrap_servers, {names.ticks: 6}, **ticks or {})
    create_topics(connector.bootstrap_servers, {names.dead_letters: 1}, **letters or {})
    create_topics(connector.bootstrap_servers, {names.events: 6})
    create_topics(connector.bootstrap_servers, {names.control: 1, names.status: 1}, cleanup_policy="compact")


@row(
    "A24",
    fault="all brokers away for 30 s; the topic takes no stamp older than 20 s (10 s and 4 s in the quick run)",
    expected="L = R = dead letters = 0; drains at 1,000 records/s or more",
)
async def old_stamps(rig: Rig) -> list[Check]:
    """A tick is worth more than its stamp."""
    limit = "20000" if rig.full else "4000"
    async with rig.run(create_topics=lambda of: topics(of, ticks={"message_timestamp_before_max_ms": limit})) as run:
        await run.passed(2)
        await rig.cluster.away()
        await run.passed(30 if rig.full else 10)
        pending = run.watch.max_pending
        await rig.cluster.heal()
        await run.connector.until(partial(delivers, run), 60)  # once the cluster has leaders again
        run.watch.healed()
    stamps = [(record.timestamp_ms, decode(record.value or b"", SCHEMA)["traded_at"]) for record in run.ticks]
    later = sum(stamp - traded.timestamp() * 1000 > int(limit) for stamp, traded in stamps)
    return [
        *run.checks(),
        equal("dead letters", run.ledger.dead_letters, 0),
        at_least("ticks with a later stamp than their own", later, 1),
        drained(run, pending),
    ]


async def delivers(run: Run) -> bool:
    """Whether no tick partition waits for anything."""
    _, status = await run.connector.ask("/status")
    return bool(status) and not any(lane["waiting_for"] for lane in status["delivery"]["lanes"])


def drained(run: Run, pending: int) -> Check:
    """Compare the rate at which an outage's frames were delivered with 1,000 a second."""
    return at_least("drained, records/s", round(pending / max(run.ledger.watched.catch_up_seconds, 0.1)), 1000)


@row(
    "A25",
    fault="a dead letter on a compacted topic; then one on a topic that takes no record at all",
    expected="the first gets a key; the second is a counted loss and an event within a minute; ticks go on",
)
async def refused_letters(rig: Rig) -> list[Check]:
    """The way of a dead letter always ends."""
    async with rig.run(create_topics=lambda of: topics(of, letters={"cleanup_policy": "compact"})) as run:
        await run.passed(1)
        await run.kis.emit(UNREADABLE)
        await run.until(lambda: run.watch.dead_letters == 1)
        await alter(rig, run.connector.names.dead_letters, max_message_bytes=TOO_SMALL)
        began = time.monotonic()
        await run.kis.emit(UNREADABLE)
        await run.until(lambda: run.watch.max_lost == 1, LETTER_SECONDS + 30)
        seconds = time.monotonic() - began
    told = [event["detail"] for event in run.events if event["event"] == "loss"]
    return [
        *run.checks(unreadable=1),
        equal("dead letters", run.ledger.dead_letters, 1),
        true("one loss event, dead_letter_refused", [one["reason"] for one in told] == ["dead_letter_refused"]),
        at_most("until the loss, s", seconds, LETTER_SECONDS + 5),
        at_most("U, s", run.ledger.longest_gap_seconds, 5),
    ]


@row(
    "A26",
    fault="the connector's clock is 2 h ahead; an unreadable frame",
    expected="L = R = 0, one dead letter; nothing waits",
)
async def clock_ahead(rig: Rig) -> list[Check]:
    """Ticks have the exchange's time. A dead letter has only ours, and goes without."""
    async with rig.run(prepare=lambda run: own_clock(run, 2 * 3600)) as run:
        await run.passed(2)
        await run.kis.emit(UNREADABLE)
        await run.until(lambda: run.watch.dead_letters == 1, 10)
        await run.passed(2)
    return [
        *run.checks(unreadable=1),
        equal("dead letters", run.ledger.dead_letters, 1),
        at_most("U, s", run.ledger.longest_gap_seconds, 5),
    ]


@row(
    "A27",
    fault="every record of every kind is refused for 30 s (10 s in the quick run)",
    expected="L = R = 0; then drains at 1,000 records/s or more",
)
async def all_refused(rig: Rig) -> list[Check]:
    """What Kafka would not take is kept until it does."""
    async with rig.run() as run:
        of_data = (run.connector.names.dead_letters, run.connector.names.ticks)
        await run.passed(1)
        for topic in reversed(of_data):
            await alter(rig, topic, max_message_bytes=TOO_SMALL)
        await run.passed(30 if rig.full else 10)
        pending = run.watch.max_pending
        for topic in of_data:
            await alter(rig, topic, max_message_bytes="1048588")
        run.watch.healed()
    return [
        *run.checks(),
        shown("dead letters", run.ledger.dead_letters),
        equal("counted losses", run.ledger.counted_losses, 0),
        drained(run, pending),
    ]
