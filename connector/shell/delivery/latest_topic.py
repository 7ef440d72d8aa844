"""Reads the order of each bond's value in the topic of latest values."""

from collections.abc import Mapping
from typing import Any

from connector.core.bonds.isin import has_shape
from connector.core.ticks.latest import Order, order_in
from connector.shell.kafka import one_topic


async def orders_in(topic: str, arguments: Mapping[str, Any]) -> dict[str, Order]:
    """Read the topic to its end, and return the highest order of each bond by ISIN.

    A tombstone withdraws what was before it. `arguments` are those of any aiokafka client. Raises
    NotInTime if the topic cannot be read.
    """
    found = dict[str, Order]()
    async for batch in one_topic.records(topic, arguments):
        for record in batch:
            isin = (record.key or b"").decode("ascii", "replace")
            if record.value is None:
                found.pop(isin, None)
            elif has_shape(isin) and (order := order_in(record.headers)) is not None:
                found[isin] = max(order, found.get(isin, order))
    return found
