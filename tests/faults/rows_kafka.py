"""Rows A: faults on Kafka's side."""

import asyncio
import os
import time
from functools import partial
from random import Random

from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from tests.deployment import Deployment
from tests.faults.cluster import GuardedKafka, RigTrouble, TwoDiskKafka
from tests.faults.rig import Rig, Run
from tests.faults.row import Check, at_least, at_most, equal, row, shown, true
from tests.kafka.process import free_ports
from tests.kafka.reader import create_topics

SESSION_SECONDS = 6  # a broker's session timeout in these clusters
LAG_SECONDS = 5  # a replica that lags longer leaves the in-sync set
ACK_SECONDS = 12  # after this the connector gives a producer up
REQUEST_SECONDS = 5
BATCH_TICKS = 700  # the most that one doubtful batch, of up to 128 KiB, may repeat


def admin(rig: Rig) -> AdminClient:
    """Return the independent client's administration, not through the proxies."""
    return AdminClient({"bootstrap.servers": rig.cluster.direct_servers, "log_level": 0})


async def alter(rig: Rig, topic: str, **configuration: str) -> None:
    """Change a topic's configuration, with `_` for `.`."""
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in configuration.items()
    ]
    await configure(rig, ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries))


async def configure(rig: Rig, resource: ConfigResource) -> None:
    """Change a configuration, and wait until it is in force."""
    client = admin(rig)  # a collected client drops its requests
    (future,) = client.incremental_alter_configs([resource]).values()
    await asyncio.wrap_future(future)


@row("A1", fault="leader stopped cleanly, and back", expected="D = 0, U < 5 s", is_timed=True)
async def leader_stopped(rig: Rig) -> list[Check]:
    """Leadership moves before the broker stops."""
    async with rig.run() as run:
        await run.passed(3)
        await rig.off_loop(rig.cluster.brokers[run.leader(0)].server.stop)
        await run.passed(5)
    return [*run.checks(), equal("D", run.ledger.duplicates, 0), at_most("U, s", run.ledger.longest_gap_seconds, 5)]


@row(
    "A2",
    fault="leader killed, chased five times (three in the quick run); the active controller lives on",
    expected="D = 0, U ≤ 8 s (session timeout 6 s + 2 s)",
    is_timed=True,
)
async def leader_killed(rig: Rig) -> list[Check]:
    """Delivery waits for the election and sends the same sequence again.

    Brokers and controllers are the same processes here. If a kill takes the active controller
    along, a successor is elected first and counts every broker's session from the beginning.
    That is the cluster's time and not ours, so another broker is killed.
    """
    async with rig.run() as run:
        for _ in range(5 if rig.full else 3):
            await run.passed(2)
            controller = await rig.off_loop(rig.cluster.controller)
            leaders = {run.leader(number) for number in range(6)} - {controller}
            await rig.off_loop(rig.cluster.brokers[min(leaders)].server.kill)
            await run.passed(SESSION_SECONDS + 1)
            await rig.cluster.open()
            await in_sync(rig, run)
    return [
        *run.checks(),
        equal("D", run.ledger.duplicates, 0),
        at_most("U, s", run.ledger.longest_gap_seconds, SESSION_SECONDS + 2),
    ]


async def in_sync(rig: Rig, run: Run) -> None:
    """Wait until all tick partitions have all replicas: the next kill must leave two."""
    topic = run.connector.names.ticks
    found = await rig.off_loop(partial(_wait_in_sync, admin(rig), topic))
    if not found:
        raise RigTrouble("the replicas did not come back in sync")


def _wait_in_sync(client: AdminClient, topic: str) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        partitions = client.list_topics(topic, timeout=10).topics[topic].partitions.values()
        if all(len(one.isrs) == len(one.replicas) for one in partitions):
            return True
        time.sleep(0.2)
    return False


@row(
    "A3",
    fault="leader frozen for 60 s (25 s in the quick run), then thawed",
    expected="D ≤ a batch for each of its partitions; U of the others ≤ the cluster's own time + 2 s",
    is_timed=True,
)
async def leader_frozen(rig: Rig) -> list[Check]:
    """Nothing is reset: requests time out, and the other brokers' partitions go on."""
    async with rig.run() as run:
        await run.passed(3)
        controller = await rig.off_loop(rig.cluster.controller)
        frozen = min({run.leader(number) for number in range(6)} - {controller})
        healthy = [number for number in range(6) if run.leader(number) != frozen]
        rig.cluster.brokers[frozen].server.freeze()
        cluster_seconds = await run.until_without(frozen)
        await run.passed((60 if rig.full else 25) - cluster_seconds)
        rig.cluster.brokers[frozen].server.thaw()
    gaps = run.ledger.watched.gaps
    return [
        *run.checks(),
        at_most("D", run.ledger.duplicates, BATCH_TICKS * (6 - len(healthy))),
        shown(
            "U of the frozen leader's partitions, s", max(gap for number, gap in gaps.items() if number not in healthy)
        ),
        shown("the cluster's own time, s", cluster_seconds),
        at_most("U of the others, s", max(gaps[number] for number in healthy), cluster_seconds + 2),
    ]


@row(
    "A4",
    fault="follower frozen for 20 s",
    expected="U ≤ min(session timeout, replica lag) + 2 s = 7 s, or the cluster's own time + 2 s, whichever is larger",
    is_timed=True,
)
async def follower_frozen(rig: Rig) -> list[Check]:
    """Acknowledgements stall until the follower has left the in-sync set.

    The topic has one partition, led by another broker.
    """

    def one_led_by_the_first(connector: Deployment) -> None:
        _create(connector, {number: [1, 2, 3] for number in range(6)}, rig)

    async with rig.run(create_topics=one_led_by_the_first) as run:
        await run.passed(3)
        follower = 1 if await rig.off_loop(rig.cluster.controller) == 2 else 2
        rig.cluster.brokers[follower].server.freeze()
        cluster_seconds = await run.until_without(follower)
        await run.passed(20 - cluster_seconds)
        rig.cluster.brokers[follower].server.thaw()
    return [
        *run.checks(),
        shown("the cluster's own time, s", cluster_seconds),
        at_most("U, s", run.ledger.longest_gap_seconds, max(LAG_SECONDS, cluster_seconds) + 2),
    ]


def _create(connector: Deployment, replicas: dict[int, list[int]], rig: Rig, **configuration: str) -> None:
    """Create the topics, with the tick partitions on the given brokers."""
    names = connector.names
    config = {name.replace("_", "."): value for name, value in configuration.items()}
    placed = NewTopic(
        names.ticks,
        len(replicas),
        replica_assignment=[replicas[number] for number in range(len(replicas))],
        config=config,
    )
    client = admin(rig)  # a collected client drops its requests
    for future in client.create_topics([placed], operation_timeout=20).values():
        future.result(timeout=30)
    create_topics(connector.bootstrap_servers, {names.dead_letters: 1, names.events: 6})
    create_topics(connector.bootstrap_servers, {names.control: 1, names.status: 1}, **{"cleanup.policy": "compact"})


@row(
    "A5",
    fault="two of three brokers killed for 5 min (20 s in the quick run)",
    expected="the journal takes all; D, T told",
)
async def two_down(rig: Rig) -> list[Check]:
    """With too few replicas nothing is acknowledged, and nothing is lost."""
    async with rig.run() as run:
        await run.passed(2)
        for broker in rig.cluster.brokers[:2]:
            await rig.off_loop(broker.server.kill)
        await run.passed(300 if rig.full else 20)
        await rig.cluster.heal()
        run.watch.healed()
    return [*run.checks(), shown("most frames pending", run.watch.max_pending)]


@row(
    "A6",
    fault="all brokers killed for 10 min at 3,000 frames/s (25 s at 1,000 in the quick run)",
    expected="the journal takes all and drains in order; memory flat: grows by at most 64 MiB",
)
async def all_down(rig: Rig) -> list[Check]:
    """The journal grows, and memory does not."""
    async with rig.run(rate=3000 if rig.full else 1000) as run:
        await run.passed(3)
        before = rss_mb(run)
        for broker in rig.cluster.brokers:
            await rig.off_loop(broker.server.kill)
        await run.passed(600 if rig.full else 25)
        pending = run.watch.max_pending
        await rig.cluster.heal()
        run.watch.healed()
    watched = run.ledger.watched
    return [
        *run.checks(),
        at_most("growth of memory, MiB", watched.peak_rss_mb - before, 64),
        shown("frames pending at the outage's end", pending),
        shown("drained, frames/s beside the market's", round(pending / max(watched.catch_up_seconds, 0.1))),
    ]


def rss_mb(run: Run) -> float:
    """Return the connector's current memory in MiB."""
    assert run.connector.process is not None
    with open(f"/proc/{run.connector.process.pid}/statm", encoding="ascii") as statm:  # noqa: PTH123 - one line of the kernel's
        return round(int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


@row(
    "A7",
    fault="outage longer than the journal (16 MiB)",
    expected="L = the counted losses exactly; loss events tell the same number",
)
async def journal_too_small(rig: Rig) -> list[Check]:
    """The newest frames are dropped and counted; events follow once Kafka is back."""
    async with rig.run(rate=4000, settings={"JOURNAL__MAX_BYTES": "16MiB"}) as run:
        await run.passed(2)
        await rig.cluster.away()
        await run.until(lambda: run.watch.max_lost > 1000, 120)
        await rig.cluster.heal()
        run.watch.healed()
    ledger = run.ledger
    events = [event["detail"] for event in run.events if event["event"] == "loss"]
    return [
        *run.checks(),
        at_least("counted losses", ledger.counted_losses, 1),
        equal("received - read back", ledger.received - ledger.delivered, ledger.counted_losses),
        equal("losses in loss events", sum(detail["frames"] for detail in events), ledger.counted_losses),
    ]


@row("A8", fault="rolling restart, five rounds (one in the quick run)", expected="D = 0; U told")
async def rolling_restart(rig: Rig) -> list[Check]:
    """Stop each broker in turn, and start it again once all replicas are in sync."""
    async with rig.run() as run:
        await run.passed(2)
        for _ in range(5 if rig.full else 1):
            for broker in rig.cluster.brokers:
                await rig.off_loop(broker.server.stop)
                await rig.cluster.open()
                await in_sync(rig, run)
    return [*run.checks(), equal("D", run.ledger.duplicates, 0)]


@row(
    "A9",
    fault="one partition, on one broker alone, without its leader for 25 s",
    expected="one rebuild, D ≤ a batch, U of the other partitions ≤ 2 s",
)
async def leaderless(rig: Rig) -> list[Check]:
    """Other partitions go on, and the leaderless one does not cost producer after producer."""

    def sixth_on_the_third(connector: Deployment) -> None:
        _create(
            connector,
            {number: [3] if number == 5 else [1 + number % 2] for number in range(6)},
            rig,
            min_insync_replicas="1",
        )

    async with rig.run(create_topics=sixth_on_the_third) as run:
        await run.passed(3)
        await rig.off_loop(rig.cluster.brokers[2].server.kill)
        await run.passed(25)
        await rig.cluster.open()
    gaps = run.ledger.watched.gaps
    return [
        *run.checks(),
        equal("rebuilds of producers", run.ledger.rebuilds, 1),
        at_most("D", run.ledger.duplicates, BATCH_TICKS),
        at_most("U of the other partitions, s", max(gaps[number] for number in range(5)), 2),
        shown("U of the partition, s", gaps[5]),
    ]


@row(
    "A10",
    fault="max.message.bytes below one record; then below a batch, above every record",
    expected="dead letters = 1, then none; L = 0",
)
async def refused(rig: Rig) -> list[Check]:
    """A refused batch is halved until the refused record is alone."""

    def taking_little(connector: Deployment) -> None:
        names = connector.names
        create_topics(connector.bootstrap_servers, {names.ticks: 6}, max_message_bytes="3000")
        create_topics(connector.bootstrap_servers, {names.dead_letters: 1, names.events: 6})
        create_topics(connector.bootstrap_servers, {names.control: 1, names.status: 1}, cleanup_policy="compact")

    async with rig.run(rate=1500, create_topics=taking_little) as run:
        topic = run.connector.names.ticks
        await run.passed(1)
        await run.kis.emit(f"0|H0BJCNT0|001|{large(run)}")
        await run.until(lambda: run.watch.dead_letters)
        run.market(20_000)  # full batches
        await run.passed(1.5)
        run.market()
        await alter(rig, topic, max_message_bytes="1048588")
    ledger = run.ledger
    return [
        *run.checks(),
        equal("dead letters", ledger.dead_letters, 1),
    ]


def large(run: Run) -> str:
    """Return a tick that no compression makes small, with eighteen columns KIS never had."""
    sample = next(record.raw for frame in run.kis.sent for record in frame.records if record.tr_key == run.isins[0])
    return "^".join([sample, *(Random(number).randbytes(300).hex() for number in range(18))])


@row(
    "A11",
    fault="the brokers forget the producer: all ticks deleted, producer ids expired on every broker",
    expected="L = 0, D ≤ a batch for each partition",
)
async def forgotten_producer(rig: Rig) -> list[Check]:
    """UNKNOWN_PRODUCER_ID or OUT_OF_ORDER_SEQUENCE: the producer is given up.

    A new one sends all doubtful batches again.
    """
    await expire_producer_ids(rig, "1500", AlterConfigOpType.SET)
    try:
        async with rig.run() as run:
            await run.passed(2)
            run.market(0)
            await run.connector.until(partial(_nothing_pending, run))
            run.earlier = await run.connector.records(run.connector.names.ticks)
            starts = await delete_records(rig, run.connector.names.ticks)
            await run.passed(5)
            run.market()
            await run.passed(2)
    finally:
        await expire_producer_ids(rig, None, AlterConfigOpType.DELETE)
    return [
        *run.checks(),
        equal("ticks deleted, of those read before", sum(starts), len(run.earlier)),
        at_most("D", run.ledger.duplicates, BATCH_TICKS * 6),
    ]


async def expire_producer_ids(rig: Rig, ms: str | None, how: AlterConfigOpType) -> None:
    """Set on each broker when it forgets a producer; librdkafka has no cluster-wide name."""
    for broker in rig.cluster.brokers:
        entry = ConfigEntry("producer.id.expiration.ms", ms, incremental_operation=how)
        await configure(rig, ConfigResource(ResourceType.BROKER, str(broker.node), incremental_configs=[entry]))


async def delete_records(rig: Rig, topic: str) -> list[int]:
    """Delete all records of a topic; return each partition's new first offset."""
    client = admin(rig)  # a collected client drops its requests
    ends = [TopicPartition(topic, number, OFFSET_END) for number in range(6)]
    return [(await asyncio.wrap_future(future)).low_watermark for future in client.delete_records(ends).values()]


async def _nothing_pending(run: Run) -> bool:
    _, status = await run.connector.ask("/status")
    return bool(status) and status["frames"]["pending"] == 0


@row("A13", fault="the right to write is revoked for 15 s, and given back", expected="held, said, resumed; L = 0")
async def right_revoked(rig: Rig) -> list[Check]:
    """Delivery waits and says for which right."""
    cluster = await asyncio.to_thread(GuardedKafka, seed=rig.seed)
    try:
        await cluster.open()
        await cluster.admit()
        own = rig.on(cluster)
        async with own.run(prepare=cluster.introduce) as run:
            await run.passed(2)
            await cluster.revoke(run.connector.names.ticks)
            await run.passed(15)
            _, status = await run.connector.ask("/status")
            ready, _ = await run.connector.ask("/readyz")
            await cluster.restore(run.connector.names.ticks)
            run.watch.healed()
    finally:
        await cluster.shut()
    return [
        *run.checks(),
        true("said in /status", "TopicAuthorizationFailedError" in str(status["delivery"]["waiting_for"])),
        shown("answer of /readyz meanwhile", ready),
    ]


@row(
    "A17",
    fault="one of a broker's two log directories full, so offline",
    expected="D = 0; the partitions move to other brokers; L = 0",
)
async def log_directory_full(rig: Rig) -> list[Check]:
    """KafkaStorageError is tried again until another broker leads."""
    cluster = await asyncio.to_thread(TwoDiskKafka, seed=rig.seed)
    try:
        await cluster.open()
        own = rig.on(cluster)

        def all_led_by_the_third(connector: Deployment) -> None:
            _create(connector, {number: [3, 1, 2] for number in range(6)}, own)

        async with own.run(create_topics=all_led_by_the_third) as run:
            await run.passed(4)
            before = [run.leader(number) for number in range(6)]
            await rig.off_loop(cluster.fill)
            await run.passed(10)
            after = [run.leader(number) for number in range(6)]
    finally:
        await cluster.shut()
    return [
        *run.checks(),
        at_least("partitions that moved", sum(one != other for one, other in zip(before, after, strict=True)), 1),
        equal("D", run.ledger.duplicates, 0),
    ]


@row(
    "A20",
    fault="connection cut after the request, before the response: 1,000 times (200 in the quick run)",
    expected="D = 0",
)
async def acks_lost(rig: Rig) -> list[Check]:
    """The same sequence is sent again, and the broker knows it."""
    cuts = 1000 if rig.full else 200
    async with rig.run() as run:
        for proxy in rig.cluster.proxies:
            proxy.resets, proxy.down.reset_peer = 0, 0.1
        await run.until(lambda: sum(proxy.resets for proxy in rig.cluster.proxies) >= cuts, 600)
        done = sum(proxy.resets for proxy in rig.cluster.proxies)
    return [
        *run.checks(),
        at_least("cuts", done, cuts),
        equal("D", run.ledger.duplicates, 0),
    ]


@row(
    "A21",
    fault="every connection to one broker half-open: swallowed both ways, nobody told; new ones work",
    expected=f"U ≤ 2·{REQUEST_SECONDS} s + 2 s",
    is_timed=True,
)
async def half_open(rig: Rig) -> list[Check]:
    """Without RST or FIN, the request timeout bounds the wait."""
    async with rig.run() as run:
        await run.passed(3)
        cut = run.leader(0)
        cut_off = [number for number in range(6) if run.leader(number) == cut]
        rig.cluster.proxies[cut].deafen()
        await run.passed(15)
    gaps = run.ledger.watched.gaps
    return [
        *run.checks(),
        at_most("U, s", max(gaps[number] for number in cut_off), 2 * REQUEST_SECONDS + 2),
        at_most(
            "U of the other brokers' partitions, s",
            max(gap for number, gap in gaps.items() if number not in cut_off),
            2,
        ),
    ]


@row(
    "A22",
    fault="every broker moves to another address; the bootstrap name leads to the new ones",
    expected=f"T ≤ {ACK_SECONDS} s + 6 s",
    is_timed=True,
)
async def moved(rig: Rig) -> list[Check]:
    """A producer without acknowledgements is given up, and the next one asks the bootstrap servers.

    aiokafka itself never asks them again.
    """
    old = [proxy.port for proxy in rig.cluster.proxies]
    new = free_ports(3)
    async with rig.run() as run:
        await run.passed(3)
        rig.cluster.advertise(new)
        for proxy in rig.cluster.proxies:
            await proxy.stop()
        for broker in rig.cluster.brokers:
            await rig.off_loop(broker.server.kill)
        # The bootstrap name leads to the first new address: the old first port forwards there.
        await rig.cluster.open()
        name = rig.cluster.forward(old[0], 0)
        await name.start()
        run.watch.healed()
        await run.passed(25)
    await name.stop()
    rig.cluster.bootstrap_servers = ",".join(f"127.0.0.1:{port}" for port in new)
    return [
        *run.checks(),
        at_most("T, s", run.ledger.watched.catch_up_seconds, ACK_SECONDS + 6),
    ]


@row(
    "A23",
    fault="bits of broker responses and client requests flip, one chunk in 50, for 15 s",
    expected="L = 0, a rebuild at most costs repeats",
)
async def corrupted(rig: Rig) -> list[Check]:
    """Garbage may even end the client's sender: the next producer goes on."""
    async with rig.run() as run:
        await run.passed(2)
        for proxy in rig.cluster.proxies:
            proxy.corrupted, proxy.down.corrupt = 0, 0.02
        await run.passed(15)
        flipped = sum(proxy.corrupted for proxy in rig.cluster.proxies)
        for proxy in rig.cluster.proxies:
            proxy.heal()
            await proxy.cut()
    return [
        *run.checks(),
        at_least("bits flipped", flipped, 10),
    ]
