"""The topic of latest values is read to its end, for the order of each bond."""

import pytest
from confluent_kafka import Producer

from connector.core.ticks.latest import Order, order_header
from connector.errors import NotInTime
from connector.shell.delivery.latest_topic import orders_in
from simulator.embedded_kafka import EmbeddedKafka
from tests.kafka.reader import QUIET
from tests.shell.delivery.frames import ISINS

TOPIC = "bond.ticks.latest"


async def orders_of(*records):
    """Write the records, each a key, a value and headers, and read their orders."""
    with EmbeddedKafka({TOPIC: 3}) as brokers:
        arguments = {"bootstrap_servers": brokers.bootstrap_servers}
        producer = Producer(QUIET | {"bootstrap.servers": brokers.bootstrap_servers})
        for key, value, headers in records:
            producer.produce(TOPIC, key=key, value=value, headers=headers)
        assert producer.flush(30) == 0
        return await orders_in(TOPIC, arguments)


async def test_the_highest_order_of_each_bond_is_found():
    """Compaction may not have run yet, and another process may have written an older value."""
    found = await orders_of(
        (ISINS[0], b"x", [order_header(Order(20_000, 4))]),
        (ISINS[0], b"x", [order_header(Order(20_000, 7))]),
        (ISINS[0], b"x", [order_header(Order(20_000, 5))]),
        (ISINS[1], b"x", [order_header(Order(20_001, 1))]),
    )
    assert found == {ISINS[0]: Order(20_000, 7), ISINS[1]: Order(20_001, 1)}


async def test_a_tombstone_withdraws_the_value_before_it():
    """Whoever deletes a wrong value by a tombstone frees the bond from its order."""
    headers = [order_header(Order(20_000, 4))]
    assert await orders_of((ISINS[0], b"x", headers), (ISINS[0], None, [])) == {}


async def test_foreign_records_have_no_order():
    """A record without an ISIN as key, or without an order, is passed over."""
    headers = [order_header(Order(20_000, 4))]
    assert await orders_of(("x", b"x", headers), (None, b"x", headers), (b"\xff" * 12, b"x", headers)) == {}
    assert await orders_of((ISINS[0], b"x", [("order", b"soon")]), (ISINS[0], b"x", [])) == {}


async def test_a_broker_that_is_away_is_named(monkeypatch):
    """The lanes wait, and say why."""
    monkeypatch.setattr("connector.shell.kafka.one_topic.PATIENCE_SECONDS", 1)
    with pytest.raises(NotInTime, match="could not be read"):
        await orders_in(TOPIC, {"bootstrap_servers": "127.0.0.1:1"})
