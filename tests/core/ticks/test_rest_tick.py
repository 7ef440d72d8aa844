"""Trades of KIS's REST list as ticks."""

from hashlib import blake2b

from connector.core.ticks.avro import TickEncoder, TickSchema, decode
from connector.core.ticks.rest_tick import SOURCE, rest_record
from connector.packaged_files import bond_tick

ISIN = "KR6095572D81"
TEXTS = {
    "STCK_CNTG_HOUR": "091632",
    "STCK_PRPR": "10265.00",
    "PRDY_VRSS": "-15.00",
    "PRDY_VRSS_SIGN": "5",
    "PRDY_CTRT": "-0.15",
    "CNTG_VOL": "110000",
    "ACML_VOL": "110000",
}


def test_a_rest_trade_is_a_tick_without_what_the_list_lacks():
    """Seven columns are KIS's, the others null; the identity rests on the text of the contract."""
    schema = TickSchema(bond_tick())
    record = rest_record(ISIN, [column["name"] for column in schema.columns], TEXTS)
    encoder = TickEncoder(schema, schema.single_object_prefix, SOURCE)
    tick = encoder.encode(record, encoder.origin(1_714_700_000_000))
    fields = decode(tick.value, schema)
    assert record.text == f"rest|{ISIN}|091632|10265.00|110000|110000"
    identity = blake2b(f"2024-05-03|{record.text}".encode(), digest_size=16).hexdigest()
    assert (fields["tick_id"], fields["source"], fields["trade_date"].isoformat()) == (identity, "rest", "2024-05-03")
    assert {name for name, value in fields.items() if value is None} == {
        *("BOND_ISNM", "STCK_OPRC", "STCK_HGPR", "STCK_LWPR", "STCK_PRDY_CLPR", "BOND_CNTG_ERT"),
        *("OPRC_ERT", "HGPR_ERT", "LWPR_ERT", "PRDY_VOL", "CNTG_TYPE_CLS_CODE"),
    }
    assert (str(fields["PRDY_VRSS"]), fields["PRDY_VRSS_SIGN"]) == ("-15.0000", "5")
