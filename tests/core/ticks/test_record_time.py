"""The time as of which a Kafka record counts."""

from math import inf
from types import SimpleNamespace

import pytest

from connector.core.ticks.record_time import time_ms


@pytest.mark.parametrize(
    ("timestamp", "received_ns", "time"),
    [(0, b"7000000", 0), (5, b"7000000", 5), (-1, b"7000000", 7)]
    + [(-1, text, inf) for text in (None, b"", b"soon", b"-7", b"9" * 20)],
)
def test_a_record_without_a_timestamp_counts_by_its_receive_time(timestamp, received_ns, time):
    """A header that names no time makes the record count as new."""
    headers = [("slot", b"0"), ("received-ns", received_ns)]
    assert time_ms(SimpleNamespace(timestamp=timestamp, headers=headers)) == time


def test_a_record_without_timestamp_and_header_counts_as_new():
    """Nobody knows its time."""
    assert time_ms(SimpleNamespace(timestamp=-1, headers=())) == inf
