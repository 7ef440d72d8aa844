"""Reading from a tick's record what coverage needs."""

import json
from datetime import date
from io import BytesIO

import fastavro
import pytest

from connector.core.coverage.tick_values import TickValues, UnknownSchema, UnreadableTick
from connector.core.ticks.avro import TickEncoder, TickSchema, registry_prefix
from connector.core.ticks.frame import WireRecord
from connector.packaged_files import bond_tick

RAW = (
    "KR103502GD31^국고03250-5303(23-2)^131743^2^5.00^0.05^10575.00^1^"
    "10525.00^10578.00^10525.00^0.00^3.012^3.037^3.010^3.037^6594124^9874082^2"
)
RECEIVED_MS = 1_700_040_000_000  # 2023-11-15 18:20 in Seoul
HEADERS = [("received-ns", b"1"), ("slot", b"3")]


def changed_schema():
    """Return a later version of the schema: a new column with a default before our own fields."""
    schema = json.loads(bond_tick())
    place = [field["name"] for field in schema["fields"]].index("tick_id")
    schema["fields"].insert(place, {"name": "NEW_COLUMN", "type": ["null", "string"], "default": None})
    return json.dumps(schema)


def value(schema_text, prefix=None, source="ws"):
    """Return the value of the portal's sample under a schema, framed."""
    schema = TickSchema(schema_text)
    encoder = TickEncoder(schema, schema.single_object_prefix if prefix is None else prefix, source)
    return encoder.encode(WireRecord(RAW.split("^"), RAW), encoder.origin(RECEIVED_MS)).value


def read(values, raw, headers=HEADERS):
    """Return the tick of a record."""
    return values.read(raw, headers, 5, 17)


def test_a_tick_is_read_in_either_framing():
    """Both framings give the same tick: volumes, date, times, slot and place."""
    single = TickValues([bond_tick()], asks_registry=False)
    tick = read(single, value(bond_tick()))
    assert (tick.isin, tick.volume, tick.accumulated) == ("KR103502GD31", 1, 6594124)
    assert (tick.trade_date, tick.source, tick.partition, tick.offset) == (date(2023, 11, 15), "ws", 5, 17)
    assert (tick.trade.slot, tick.trade.seen_ms) == (3, RECEIVED_MS)
    assert len(tick.trade.tick_id) == 32
    assert read(single, value(bond_tick(), registry_prefix(7))) == tick


def test_another_version_is_read_by_its_id_or_fingerprint():
    """A later schema's ticks are read once its id was asked for, or by a known fingerprint."""
    asking = TickValues([bond_tick()], asks_registry=True)
    framed = value(changed_schema(), registry_prefix(9))
    with pytest.raises(UnknownSchema) as unknown:
        read(asking, framed)
    assert unknown.value.schema_id == 9
    asking.add(9, changed_schema())
    assert read(asking, framed).accumulated == 6594124
    both = TickValues([bond_tick(), changed_schema()], asks_registry=False)
    assert read(both, value(changed_schema())).volume == 1


def test_a_tick_of_rest_has_no_slot_and_the_trades_own_time():
    """The reply's time of a REST trade says nothing about the feed."""
    tick = read(TickValues([bond_tick()], asks_registry=False), value(bond_tick(), source="rest"))
    assert (tick.source, tick.trade.slot, tick.trade.seen_ms) == ("rest", None, tick.trade.traded_ms)


@pytest.mark.parametrize("slot", [None, b"", b"x", b"-1", b"9999999"])
def test_a_strange_slot_is_none(slot):
    """A header that is no slot's number counts as none."""
    values = TickValues([bond_tick()], asks_registry=False)
    assert read(values, value(bond_tick()), [("slot", slot)]).trade.slot is None


@pytest.mark.parametrize(
    "raw",
    [None, b"", b"\x00\x00\x00\x00\x07", b"text that is no tick", value(bond_tick())[:40], value(changed_schema())],
)
def test_what_cannot_be_read(raw):
    """A value of another kind, a cut one, or one of an unknown fingerprint is unreadable."""
    with pytest.raises(UnreadableTick):
        read(TickValues([bond_tick()], asks_registry=False), raw)


@pytest.mark.parametrize("text", [None, "", "{", '{"type":"string"}', "[]", '{"type":"record","name":"x","fields":1}'])
def test_a_schema_that_is_none(text):
    """An id without a usable schema makes its values unreadable; it is not asked for again."""
    values = TickValues([bond_tick()], asks_registry=True)
    values.add(7, text)
    with pytest.raises(UnreadableTick):
        read(values, value(bond_tick(), registry_prefix(7)))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"ACML_VOL": -(2**63)}, "the day's volume is -9223372036854775808"),
        ({"STND_ISCD": "bond/7"}, "the shape of an ISIN"),
        ({"traded_at": 2**62}, "its times are"),
        ({"received_at": -1}, "its times are"),
        ({"tick_id": "x" * 101}, "its tick_id has more than 100 characters"),
        ({"trade_date": 10**6}, "the trade date is 1000000 days after 1970"),
    ],
)
def test_a_tick_that_no_connector_wrote_is_unreadable(changed, why):
    """A foreign writer's tick could otherwise make sums negative, or stop the auditor for good."""
    raw, schema = value(bond_tick()), fastavro.parse_schema(json.loads(bond_tick()))
    fields = fastavro.schemaless_reader(BytesIO(raw[10:]), _bare(schema), None)
    fastavro.schemaless_writer(written := BytesIO(), _bare(schema), fields | changed)
    with pytest.raises(UnreadableTick, match=why):
        read(TickValues([bond_tick()], asks_registry=False), raw[:10] + written.getvalue())


def _bare(schema):
    """Return the schema without the meanings of its numbers, so that any number can be written."""
    fields = [{**each, "type": _plain(each["type"])} for each in schema["fields"]]
    return fastavro.parse_schema({"type": "record", "name": "BondTick", "fields": fields})


def _plain(kind):
    if isinstance(kind, list):
        return [_plain(each) for each in kind]
    return kind["type"] if isinstance(kind, dict) and "logicalType" in kind else kind
