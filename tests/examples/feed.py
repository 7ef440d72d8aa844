"""Half an hour of made-up trades that is hard to read: copies, disorder, three schemas."""

import json
import random
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Producer

from connector.core.ticks.avro import Tick, TickEncoder, TickSchema, registry_prefix
from connector.core.ticks.frame import WireRecord
from connector.packaged_files import released_schemas
from tests.core.ticks.test_compatibility import column, edited
from tests.kafka.reader import create_topics

BONDS = {
    "KR103502GA34": "국고04875-2811(23-9)",
    "KR103502GB17": "국고03250-5403(24-2)",
    "KR103502GD31": "국고03500-3406(24-5)",
    "KR103502GB25": "국고02750-5409(24-8)",
    "KR1035000036": "KR1035000036",
    "KR1035000044": "",
}
START = datetime(2026, 1, 5, 0, 0, 7, tzinfo=UTC)  # 09:00:07 on a Monday in Seoul
SEOUL = timedelta(hours=9)
TRADES = 4_000
ACTIVE_AFTER = timedelta(milliseconds=300)  # a bond is ACTIVE in the second of its first trade
PARTITIONS = 6

# The first release, and two later schemas. Each knows one more of the columns that KIS appended.
SCHEMAS = [
    TickSchema(released_schemas()["1.0.0"]),
    TickSchema(edited(lambda _, fields: fields.insert(19, column("NEW")))),
    TickSchema(edited(lambda _, fields: fields.__setitem__(slice(19, 19), [column("NEW"), column("LATER")]))),
]

SCHEMA_FILES = ["1.0.0.avsc", "new.avsc", "later.avsc"]


class Trade(NamedTuple):
    """One trade, apart from any encoding. `second` is UTC; `received` is later in that second."""

    isin: str
    second: datetime
    received: datetime
    price: Decimal
    volume: int
    day_volume: int
    wire: str


@dataclass(frozen=True, slots=True)
class Feed:
    """Topics with the same ticks, and what they hold.

    `framed` has a registry's framing, `plain` has single-object encoding. In both, a third of the
    ticks has each of SCHEMAS, in their order.
    `status` is compacted: each bond is PENDING before its first trade, and ACTIVE from 0.3 s after
    the beginning of that trade's second. `latest` is compacted and framed: each bond's first tick
    in the first of SCHEMAS, and then its latest in the last. `control` is empty.
    """

    bootstrap_servers: str
    registry_url: str
    framed: str
    plain: str
    status: str
    latest: str
    control: str
    trades: Sequence[Trade]
    records: int
    schema_ids: tuple[int, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings of `kis-bond` for these topics."""
        return {
            "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KIS_BOND_REGISTRY__URL": self.registry_url,
            "KIS_BOND_TOPICS__TICKS": self.framed,
        }

    @property
    def latest_prices(self) -> dict[str, Decimal]:
        """Return the price of each bond's latest trade."""
        return {trade.isin: trade.price for trade in sorted(self.trades, key=lambda one: one.day_volume)}


def write_feed(bootstrap_servers: str, registry_url: str) -> Feed:
    """Make the topics and fill them."""
    prefix = f"examples-{uuid.uuid4().hex[:8]}"
    names = ("ticks", "plain", "status", "latest", "control")
    framed, plain, status, latest, control = (f"{prefix}.{name}" for name in names)
    # The trades are old, and a topic's first look at its age would delete them.
    create_topics(bootstrap_servers, {framed: PARTITIONS, plain: PARTITIONS}, retention_ms="-1")
    create_topics(bootstrap_servers, {status: 1, latest: PARTITIONS, control: 1}, cleanup_policy="compact")
    ids = tuple(register(registry_url, f"{framed}-value", schema.text) for schema in SCHEMAS)
    made = list(trades())
    copies = sent(made)
    # Java's partitioner, as the connector's.
    producer = Producer({"bootstrap.servers": bootstrap_servers, "partitioner": "murmur2", "linger.ms": 50})
    by_registry = [TickEncoder(schema, registry_prefix(each)) for schema, each in zip(SCHEMAS, ids, strict=True)]
    by_fingerprint = [TickEncoder(schema, schema.single_object_prefix) for schema in SCHEMAS]
    for topic, encoders in ((framed, by_registry), (plain, by_fingerprint)):
        for place, trade in enumerate(copies):
            produce(producer, topic, encoders, place * len(SCHEMAS) // len(copies), trade)
    for isin in BONDS:
        of_bond = sorted((trade for trade in made if trade.isin == isin), key=lambda trade: trade.day_volume)
        for version, trade in ((0, of_bond[0]), (-1, of_bond[-1])):
            order = f"{trade.second + SEOUL:%Y-%m-%d} {trade.day_volume}"
            produce(producer, latest, by_registry, version, trade, ("order", order.encode()))
    for at, key, record in statuses(made):
        producer.produce(status, json.dumps(record).encode(), key, timestamp=milliseconds(at))
    if producer.flush(60):
        raise TimeoutError("Kafka did not take the feed in a minute")
    return Feed(bootstrap_servers, registry_url, framed, plain, status, latest, control, made, len(copies), ids)


def produce(
    producer: Producer,
    topic: str,
    encoders: Sequence[TickEncoder],
    version: int,
    trade: Trade,
    *more: tuple[str, bytes],
) -> None:
    """Send a trade in the schema of that version as the connector does, with `more` headers."""
    tick = encoded(encoders[version], trade)
    headers = [
        ("received-ns", str(milliseconds(trade.received) * 1_000_000).encode()),
        ("slot", b"0"),
        ("schema", SCHEMAS[version].fingerprint.hex().encode()),
        *more,
    ]
    producer.produce(topic, tick.value, tick.isin, timestamp=tick.timestamp_ms, headers=headers)
    producer.poll(0)


def write_schemas(folder: Path) -> None:
    """Write SCHEMAS into SCHEMA_FILES in a folder, as `kis-bond schema show` would."""
    for name, schema in zip(SCHEMA_FILES, SCHEMAS, strict=True):
        (folder / name).write_text(schema.text)


def trades() -> Iterator[Trade]:
    """Return the trades in the order of their receipt, always the same ones."""
    chance = random.Random(20260105)
    clock = milliseconds(START)
    last = {isin: Decimal(10_000 + 17 * place) for place, isin in enumerate(BONDS)}
    day_volume = dict.fromkeys(BONDS, 0)
    for place in range(TRADES):
        # Bursts: many trades of a bond share a second.
        clock += chance.choice((3, 20, 40, 90, 2_500)) + (400 if place < len(BONDS) else 0)
        isin = list(BONDS)[place] if place < len(BONDS) else chance.choice(list(BONDS))
        received = datetime.fromtimestamp(clock / 1000, UTC)
        second = received.replace(microsecond=0)
        if place < len(BONDS):  # later in its second than the bond's ACTIVE
            received = second + timedelta(milliseconds=800)
            clock = milliseconds(received)
        last[isin] += chance.choice((-1, 0, 0, 1)) * Decimal("0.5")
        volume = chance.choice((1, 10, 250, 3_000))
        day_volume[isin] += volume
        columns = wire_columns(isin, second, last[isin], (volume, day_volume[isin]), chance)
        # KIS appends two columns, each before our schema knows it.
        columns += [f"{name} {place}" for name, since in (("new", 0.2), ("later", 0.5)) if place > since * TRADES]
        yield Trade(isin, second, received, last[isin], volume, day_volume[isin], "^".join(columns))


def wire_columns(
    isin: str, second: datetime, price: Decimal, volumes: tuple[int, int], chance: random.Random
) -> list[str]:
    """Return KIS's nineteen columns as text; `volumes` are the trade's and the day's."""
    volume, day_volume = volumes
    change, before = price - 10_000, "10000"
    sign = "3" if change == 0 else "2" if change > 0 else "5"
    rate = chance.choice(("3.2510", "-0.1250", ""))  # a yield may be missing or below zero
    texts = f"{second + SEOUL:%H%M%S}", sign, str(change), f"{change / 100:.2f}", str(price), str(volume)
    prices = before, str(price + 1), str(price - 1), before
    return [isin, BONDS[isin], *texts, *prices, rate, rate, rate, rate, str(day_volume), "5000", "1"]


def sent(made: Sequence[Trade]) -> list[Trade]:
    """Return the trades as they come: some out of order, and one in twelve again later."""
    chance = random.Random(1)
    order = list(enumerate(made))
    # A bond that moves between sessions comes over both for a moment.
    order = [(place + (chance.uniform(0, 12) if place % 500 > 400 else 0), trade) for place, trade in order]
    order += [(place + chance.uniform(1, 700), trade) for place, trade in order if chance.random() < 1 / 12]
    order += [(2 * len(made), trade) for trade in made[:50]]  # a restart sends the oldest again
    return [trade for _, trade in sorted(order, key=lambda one: one[0])]


def encoded(encoder: TickEncoder, trade: Trade) -> Tick:
    """Return the tick that the connector makes of a trade."""
    record = WireRecord(trade.wire.split("^"), trade.wire)
    tick = encoder.encode(record, encoder.origin(milliseconds(trade.received)))
    assert isinstance(tick, Tick), tick
    return tick


def statuses(made: Sequence[Trade]) -> Iterator[tuple[datetime, str, dict[str, Any]]]:
    """Return each bond's status records, with the times of their records."""
    first: dict[str, Trade] = {}
    for trade in made:
        first.setdefault(trade.isin, trade)
    yield from sorted(
        (at, f"instrument/{isin}", instrument(state, at))
        for isin, trade in first.items()
        for state, at in (("PENDING", START - timedelta(minutes=5)), ("ACTIVE", trade.second + ACTIVE_AFTER))
    )


def instrument(state: str, since: datetime) -> dict[str, Any]:
    """Return the status record of a bond."""
    text = since.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "state": state, "lists": ["desk"], "slot": 0, "since": text, "code": None, "message": None,
        "control": {"partition": 0, "offset": 0}, "wanted_since": "2026-01-05T00:00:00Z",
    }  # fmt: skip


def register(registry_url: str, subject: str, schema: str) -> int:
    """Register a schema under a subject whose level is FULL_TRANSITIVE, and return its id."""
    ask(registry_url, "PUT", f"/config/{subject}", {"compatibility": "FULL_TRANSITIVE"})
    return int(ask(registry_url, "POST", f"/subjects/{subject}/versions", {"schema": schema})["id"])


def ask(registry_url: str, method: str, path: str, body: Any) -> Any:
    """Send JSON to the registry and return its answer."""
    request = urllib.request.Request(
        registry_url + path,
        json.dumps(body).encode(),
        {"Content-Type": "application/vnd.schemaregistry.v1+json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def milliseconds(at: datetime) -> int:
    """Return a time as ms since 1970."""
    return round(at.timestamp() * 1000)
