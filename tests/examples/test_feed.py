"""The feed of the examples is as hard to read as it says, and wrong windows are found out."""

import json
from io import BytesIO

import pytest
from fastavro import schemaless_reader
from jsonschema import validate

from tests.examples import feed
from tests.examples.windows import Window, windows_of, wrong
from tests.kafka.reader import read_all
from tests.published import STATUS


@pytest.fixture(scope="session")
def ticks(example_feed):
    """Give the ticks of the framed topic, each partition in order, read as the released schema."""
    ours = feed.SCHEMAS[0].parsed
    writers = dict(zip(example_feed.schema_ids, (schema.parsed for schema in feed.SCHEMAS), strict=True))
    return [
        schemaless_reader(BytesIO(one.value[5:]), writers[int.from_bytes(one.value[1:5], "big")], ours)
        for one in read_all(example_feed.bootstrap_servers, example_feed.framed)
    ]


def line(window):
    """Return a window as an example prints it."""
    return "|".join(map(str, window))


def test_every_trade_is_there_and_some_come_again(example_feed, ticks):
    """The topic has each tick once or several times, and copies far from the first."""
    unique = {tick["tick_id"]: tick for tick in ticks}
    assert len(unique) == len(example_feed.trades) == feed.TRADES
    assert len(ticks) == example_feed.records > 1.07 * len(unique)
    assert sorted(tick["ACML_VOL"] for tick in unique.values()) == sorted(one.day_volume for one in example_feed.trades)


def test_ticks_are_out_of_order(ticks):
    """First copies of a bond's ticks come in another order than that of the day's volume."""
    seen, highest, disordered = set(), {}, 0
    for tick in ticks:
        if tick["tick_id"] not in seen:
            seen.add(tick["tick_id"])
            disordered += tick["ACML_VOL"] < highest.get(tick["STND_ISCD"], 0)
            highest[tick["STND_ISCD"]] = max(tick["ACML_VOL"], highest.get(tick["STND_ISCD"], 0))
    assert disordered > 50


def test_three_schemas_wrote_the_ticks(example_feed):
    """Both framings hold every schema, in the same numbers."""
    counts = []
    for topic, size in ((example_feed.framed, 5), (example_feed.plain, 10)):
        values = [one.value[:size] for one in read_all(example_feed.bootstrap_servers, topic)]
        counts.append(sorted(values.count(prefix) for prefix in set(values)))
    assert counts[0] == counts[1]
    assert len(counts[0]) == 3
    assert min(counts[0]) > feed.TRADES / 3


def test_status_records_are_as_published(example_feed):
    """Each bond is PENDING and then ACTIVE, later in the second of its first trade."""
    records = read_all(example_feed.bootstrap_servers, example_feed.status)
    for record in records:
        validate(json.loads(record.value), STATUS)
    assert len(records) == 2 * len(feed.BONDS)
    firsts = {one.isin: one for one in reversed(example_feed.trades)}
    for isin, trade in firsts.items():
        [active] = [one for one in records if one.key == f"instrument/{isin}".encode() and b'"ACTIVE"' in one.value]
        assert feed.milliseconds(trade.second) < active.timestamp_ms < feed.milliseconds(trade.received)


def test_the_comparison_accepts_only_exact_windows(expected_windows):
    """Numbers may be written longer; a wrong part, a missing window and a copy are counted."""
    lines = [line(window) for window in expected_windows]
    assert len(lines) > 80
    assert wrong(expected_windows, lines) == {}
    first = expected_windows[0]
    longer = line(Window(first.isin, first.start.replace(" ", "T") + "Z", *(f"{part:.4f}" for part in first[2:])))
    assert wrong(expected_windows, [longer, *lines[1:]]) == {}
    assert wrong(expected_windows, [line(first._replace(open=first.open + 1)), *lines[1:]]) == {"open": 1}
    assert wrong(expected_windows, [*lines[1:], lines[1]]) == {"missing": 1, "repeated": 1}


def test_the_order_of_receipt_gives_other_windows(expected_windows):
    """Who takes the first and last received trade for open and close is found out."""
    received = list(dict.fromkeys(feed.sent(list(feed.trades()))))
    renumbered = [trade._replace(day_volume=place) for place, trade in enumerate(received)]
    found = wrong(expected_windows, map(line, windows_of(renumbered)))
    assert found.keys() == {"open", "close"}
    assert min(found.values()) > 5


def test_copies_give_other_windows(expected_windows):
    """Who counts copies is found out."""
    found = wrong(expected_windows, map(line, windows_of(feed.sent(list(feed.trades())))))
    assert {"volume", "trades", "notional"} <= found.keys()
