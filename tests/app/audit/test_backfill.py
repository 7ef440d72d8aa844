"""Publishing trades of KIS's REST list."""

from connector.app.audit.backfill import Backfill
from connector.core.kis.quotations import ReportedTrade
from connector.core.ticks.avro import decode
from tests.app.audit.fakes import ISIN, SCHEMA, Writer

TRADE = ReportedTrade("091632", "10265.00", "-15.00", "5", "-0.15", "110000", "110000")


async def framing():
    """Return the framing without a registry."""
    return SCHEMA.single_object_prefix


async def test_trades_become_ticks_with_source_rest():
    """Each trade is one record of the bond in its partition, with our headers but no slot."""
    writer = Writer([])
    assert await Backfill(SCHEMA, framing, writer).publish(ISIN, [TRADE, TRADE], 3)
    first, second = writer.written
    assert (first.key, first.partition, first.value) == (ISIN.encode(), 3, second.value)
    fields = decode(first.value, SCHEMA)
    assert (fields["source"], fields["ACML_VOL"], fields["BOND_ISNM"]) == ("rest", 110000, None)
    assert [name for name, _ in first.headers] == ["received-ns", "schema"]
    assert first.timestamp_ms <= fields["received_at"].timestamp() * 1000


async def test_what_is_not_acknowledged_is_told():
    """If Kafka does not acknowledge a record, or the registry does not answer, nothing is done."""
    writer = Writer([])
    writer.failures = 1
    assert not await Backfill(SCHEMA, framing, writer).publish(ISIN, [TRADE], 3)

    async def away():
        raise OSError("the registry is away")

    assert not await Backfill(SCHEMA, away, writer).publish(ISIN, [TRADE], 3)
    assert writer.written == []


async def test_a_trade_that_no_tick_can_hold_is_left_out():
    """A change that is no number is no tick; nothing is published."""
    writer = Writer([])
    assert not await Backfill(SCHEMA, framing, writer).publish(ISIN, [TRADE._replace(change="x")], 3)
    assert writer.written == []
