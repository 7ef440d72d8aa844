"""Orders the ticks of a bond, so that a topic of their latest values never moves back."""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final, NamedTuple

from connector.core.ticks.columns import VOLUME_DIGITS, moment, time_of_day_ms

ORDER_HEADER: Final = "order"

_EPOCH: Final = date(1970, 1, 1)
_ORDER: Final = re.compile(rb"([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9]{1,%d})" % VOLUME_DIGITS)


class Order(NamedTuple):
    """What orders a bond's ticks: the Seoul date, in days since 1970-01-01, and `ACML_VOL`."""

    trade_date: int
    volume: int


def trade_date(time: str, received_ms: int) -> int:
    """Return the trade date of a good tick from its column `STCK_CNTG_HOUR`."""
    return moment(time_of_day_ms(time), received_ms).trade_date


def order_header(order: Order) -> tuple[str, bytes]:
    """Return the header that carries an order, such as `order: 2026-03-02 1500000`."""
    return ORDER_HEADER, f"{_EPOCH + timedelta(days=order.trade_date)} {order.volume}".encode()


def order_in(headers: Iterable[tuple[str, bytes]]) -> Order | None:
    """Return the order that a record's headers carry, or None. Never raises."""
    for name, value in headers:
        if name == ORDER_HEADER and (match := _ORDER.fullmatch(value)) is not None:
            try:
                return Order((date.fromisoformat(match[1].decode()) - _EPOCH).days, int(match[2]))
            except ValueError:  # a date that no calendar has
                return None
    return None
