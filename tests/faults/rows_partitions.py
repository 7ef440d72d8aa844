"""Row A12: the tick topic gets further partitions."""

from collections import defaultdict
from functools import partial
from itertools import groupby

from confluent_kafka.admin import NewPartitions

from connector.core.ticks.avro import decode
from connector.core.ticks.partition import partition
from tests.faults.ledger import SCHEMA
from tests.faults.rig import PARTITIONS, Rig, Run
from tests.faults.row import Check, at_least, equal, row, true
from tests.faults.rows_kafka import admin
from tests.faults.rows_process import started_again

MORE = 9
LOOK_SECONDS = 60  # the connector looks every half minute


@row(
    "A12",
    fault=f"the tick topic gets {MORE} partitions instead of {PARTITIONS}, once without and once with "
    "topics.adopt_partitions",
    expected="L = R = M = 0; without: told, the old number kept until a restart takes the new one over; with: "
    "told and taken over; each bond changes its partition once at most, D = 0",
)
async def partitions_added(rig: Rig) -> list[Check]:
    """No key goes by two numbers without the event."""
    return [*await _kept(rig), *await _taken_over(rig)]


async def _kept(rig: Rig) -> list[Check]:
    async with rig.run() as run:
        await run.passed(3)
        await _add_partitions(rig, run)
        await run.passed(5)
        ticks = await run.connector.records(run.connector.names.ticks)
        await run.connector.end()
        await started_again(run)
    return [
        *run.checks(connects=2, split_bonds=_moving(run)),
        equal("ticks in further partitions before the restart", sum(each.partition >= PARTITIONS for each in ticks), 0),
        equal("D, kept", run.ledger.duplicates, 0),
        *_told(run, [(PARTITIONS, MORE, False), (PARTITIONS, MORE, True)]),
        *_moves(run),
    ]


async def _taken_over(rig: Rig) -> list[Check]:
    async with rig.run(settings={"TOPICS__ADOPT_PARTITIONS": "true"}) as run:
        await run.passed(3)
        await _add_partitions(rig, run)
        await run.passed(5)
    return [
        *run.checks(split_bonds=_moving(run)),
        equal("D, taken over", run.ledger.duplicates, 0),
        *_told(run, [(PARTITIONS, MORE, True)]),
        *_moves(run),
    ]


async def _add_partitions(rig: Rig, run: Run) -> None:
    """Add partitions to the tick topic, and wait until the connector has told it."""
    client = admin(rig)  # a collected client drops its requests
    (future,) = client.create_partitions([NewPartitions(run.connector.names.ticks, MORE)]).values()
    await rig.off_loop(partial(future.result, 30))
    await run.until(lambda: "partitions_changed" in run.connector.log.read_text(), LOOK_SECONDS)


def _told(run: Run, expected: list[tuple[int, int, bool]]) -> list[Check]:
    changes = [event["detail"] for event in run.events if event["event"] == "partitions_changed"]
    found = [(detail["before"], detail["after"], detail["adopted"]) for detail in changes]
    return [true(f"events partitions_changed {expected}", found == expected)]


def _moving(run: Run) -> int:
    """Return how many bonds have another partition by the new number."""
    return sum(before != after for before, after in map(_partitions, run.isins))


def _moves(run: Run) -> list[Check]:
    """Check that each bond's ticks, by accumulated volume, go from its old partition to its new."""
    places = defaultdict(list)
    for record in run.ticks:
        tick = decode(record.value or b"", SCHEMA)
        places[tick["STND_ISCD"]].append((tick["trade_date"], tick["ACML_VOL"], record.partition))
    ways = {isin: [number for number, _ in groupby(place[-1] for place in sorted(places[isin]))] for isin in places}
    expected = {isin: list(dict.fromkeys(_partitions(isin))) for isin in run.isins}
    return [
        true("each bond's ticks lie in its old partition, and the later ones in its new", ways == expected),
        at_least("bonds that changed their partition", run.ledger.split_bonds, 1),
    ]


def _partitions(isin: str) -> tuple[int, int]:
    """Return a bond's partition by the old number and by the new one."""
    return partition(isin.encode(), PARTITIONS), partition(isin.encode(), MORE)
