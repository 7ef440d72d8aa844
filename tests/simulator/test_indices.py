"""Indices that behave."""

import re

from simulator.indices import Index

SAMPLE = (
    "KBPR01^20240726^131500^163.55^163.56^163.52^163.54^163.53^0.00^2^0.00"
    "^98.92^99.50^163.54^161.83^0.00^9.45^181.22^3.07^0.00"
)
SHAPE = re.compile(r"[A-Z0-9]{6}\^[0-9]{8}\^[0-9]{6}(\^-?[0-9]+\.[0-9]{2}){6}\^[235](\^-?[0-9]+\.[0-9]{2}){10}")


def test_values_have_the_samples_shape():
    """Twenty columns, the highest at least the value, the lowest at most."""
    index = Index("KBPR01", 1)
    records = [index.value("20261130", "100000") for _ in range(2000)]
    assert all(SHAPE.fullmatch(record) for record in [SAMPLE, *records])
    for record in records:
        opened, high, low, now = map(float, record.split("^")[3:7])
        assert low <= min(opened, now) <= max(opened, now) <= high


def test_a_day_begins_where_the_last_one_ended():
    """On a new day the last value becomes the previous day's, and the range begins anew."""
    index = Index("KBPR01", 1)
    last = [index.value("20261130", "100000") for _ in range(50)][-1].split("^")[6]
    columns = index.value("20261201", "090000").split("^")
    assert columns[7] == columns[3] == last
