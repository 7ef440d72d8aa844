"""The latest record of each bond on one date."""

import json

from connector.core.coverage.date_records import DateRecords, is_older
from connector.core.coverage.readable import PIECE_BYTES
from tests.core.coverage.trades import FRIDAY, ISIN, value

OTHER = "KR6095572D81"
KEY = f"{ISIN}/{FRIDAY}".encode()


def taken(*records, most_bytes=2**30):
    """Return the records of Friday after these keys and values."""
    found = DateRecords(FRIDAY, most_bytes)
    for key, each in records:
        raw = json.dumps(each).encode() if isinstance(each, dict) else each
        found.take(key, raw)
    return found


def test_the_latest_record_of_each_bond_counts():
    """One with a lower offset is ignored: a member that had lost the partition wrote it."""
    first, second, stale = (value(ticks=ticks, offsets={"3": offset}) for ticks, offset in ((1, 5), (2, 9), (3, 7)))
    found = taken((KEY, first), (KEY, second), (KEY, stale), (f"{OTHER}/{FRIDAY}".encode(), value()))
    assert {isin: each["ticks"] for isin, each in found.values.items()} == {ISIN: 2, OTHER: 2}


def test_other_dates_and_foreign_keys_are_left_out():
    """What is no record of a bond on that date is not even read."""
    keys = (None, b"", b"nonsense", f"{ISIN}/2026-09-10".encode(), f"\x1b[31m/{FRIDAY}".encode(), b"\xff" + KEY)
    found = taken(*((key, b"x") for key in keys))
    assert (found.values, found.unreadable) == ({}, set())


def test_a_bond_whose_latest_record_is_none_is_told():
    """Its last good record still counts, and the next good one ends it."""
    found = taken((KEY, value()), (KEY, b"x"))
    assert (found.values.keys(), found.unreadable) == ({ISIN}, {ISIN})
    assert found.take(KEY, json.dumps(value(offsets={"3": 9})).encode()) == ISIN
    assert found.unreadable == set()
    assert taken((KEY, json.dumps(value()).encode().ljust(2**21 + 1))).unreadable == {ISIN}, "too long"


def test_tombstones_remove():
    """A record that somebody removed is gone."""
    found = taken((KEY, value()), (KEY, b"x"), (KEY, None))
    assert (found.values, found.unreadable) == ({}, set())


def test_what_is_kept_is_bounded():
    """A flood of foreign records neither fills the memory nor stops those that are known."""
    size = len(json.dumps(value())) + len(KEY) + PIECE_BYTES  # its hole is in one piece
    found = taken((KEY, value()), (f"{OTHER}/{FRIDAY}".encode(), value()), most_bytes=size + 10)
    assert found.values.keys() == {ISIN}
    assert found.take(KEY, json.dumps(value(ticks=7, offsets={"3": 9})).encode()) == ISIN
    assert found.values[ISIN]["ticks"] == 7
    assert found.take(KEY, json.dumps(value(ticks=8, more="x" * 99)).encode()) is None
    found.take(KEY, None)
    assert found.take(f"{OTHER}/{FRIDAY}".encode(), json.dumps(value()).encode()) == OTHER, "there is room again"


def test_only_what_is_kept_counts():
    """Neither an older record nor one that is none changes what the bond's record takes."""
    large, small = value(offsets={"3": 9}, reason="x" * 90), value(offsets={"3": 7})
    size = len(json.dumps(large)) + len(KEY) + PIECE_BYTES
    other = (f"{OTHER}/{FRIDAY}".encode(), value())
    assert taken((KEY, large), (KEY, small), (KEY, b"x"), other, most_bytes=size + 10).values.keys() == {ISIN}
    junk = [(KEY, b"x" * 1000)] * 9
    assert taken(*junk, other, most_bytes=size + 2 * len(KEY)).values.keys() == {OTHER}


def offsets(volume=40, **numbers):
    """Return what tells two records of a bond apart: `p3=5` is offset 5 of partition 3."""
    return {"accumulated_volume": volume, "offsets": {name.removeprefix("p"): at for name, at in numbers.items()}}


def test_the_record_with_fewer_ticks_is_older():
    """Of two records under one key the one with the lower offset is ignored."""
    assert is_older(offsets(p3=1), offsets(p3=2))
    assert is_older(offsets(0), offsets(p3=2)), "without a tick"
    assert not is_older(offsets(p3=2), offsets(p3=2))
    assert not is_older(offsets(p3=3, p4=0), offsets(p3=2))


def test_of_two_partitions_the_record_with_the_later_trade_counts():
    """A bond has two records if the topic grew that day. The volume of a day only rises."""
    old, new = (value(accumulated_volume=volume, offsets=at) for volume, at in ((40, {"3": 900}), (70, {"7": 0})))
    later = value(accumulated_volume=90, offsets={"7": 1})
    other_key = (KEY, value(holes=[], accumulated_volume=0, missing_volume=0, covered_volume=0, offsets={}))
    for records in ((old, new, later), (new, old, later), (new, later, old)):
        found = taken(other_key, *((KEY, each) for each in records), other_key)
        assert found.values[ISIN]["offsets"] == {"7": 1}


def test_pieces_of_a_hole_count_more_than_their_text():
    """A piece of three characters takes a list of two numbers."""
    (lacking,) = value()["holes"]
    pieces = [[low, low + 1] for low in range(lacking["from_volume"], lacking["to_volume"], 2)]
    cut = value(holes=[lacking | {"remaining": pieces}])
    size = len(json.dumps(cut)) + len(KEY)
    assert taken((KEY, cut), most_bytes=size + PIECE_BYTES * (len(pieces) - 1)).values == {}
    assert taken((KEY, cut), most_bytes=size + PIECE_BYTES * len(pieces)).values.keys() == {ISIN}
