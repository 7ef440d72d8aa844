"""The time as of which a Kafka record counts, also without a timestamp."""

from __future__ import annotations

from math import inf
from typing import Any


def time_ms(record: Any) -> float:
    """Return a record's timestamp, or without one the receive time that its header names.

    A record that has neither counts as new, so that nobody overlooks it.
    """
    if record.timestamp >= 0:
        return float(record.timestamp)
    received_ns = dict(record.headers).get("received-ns") or b""
    return int(received_ns) / 1e6 if received_ns.isdigit() and len(received_ns) < 20 else inf
