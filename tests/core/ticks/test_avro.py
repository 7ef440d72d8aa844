"""Ticks have exactly the schema's bytes, and independent readers decode the same values."""

import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path

import avro.io
import avro.schema
import fastavro
import pytest
from fastavro.schema import fingerprint
from hypothesis import given
from hypothesis import strategies as st

from connector.core.ticks import avro as codec
from connector.core.ticks.avro import BadTick, Tick, TickEncoder, TickSchema, decode, plain, registry_prefix
from connector.core.ticks.frame import Received, WireRecord, split
from connector.core.ticks.run import split_run
from connector.packaged_files import bond_tick

DATA = Path(__file__).parents[2] / "data"
SAMPLE = (DATA / "portal/h0bjcnt0-frame.txt").read_text(encoding="utf-8").split("|", 3)[3]
SCHEMA = TickSchema(bond_tick())
NAMES = [column["name"] for column in SCHEMA.columns]
RECEIVED_MS = 1_795_148_264_123  # 2026-11-20 13:17:44.123 in Seoul

texts = st.text(st.characters(exclude_characters="^|", exclude_categories=["Cs"]), min_size=1, max_size=12)
decimals = st.decimals(-(10**14) + 1, 10**14 - 1, places=4).map(lambda number: format(number, "f"))
volumes = st.integers(0, 10**18 - 1).map(str)


def record(**columns):
    """Return the portal's sample record with some columns changed."""
    extra = columns.pop("extra", [])
    sample = dict(zip(NAMES, SAMPLE.split("^"), strict=True)) | columns
    assert list(sample) == NAMES
    values = [*sample.values(), *extra]
    return WireRecord(values, "^".join(values))


def encoder(prefix=SCHEMA.single_object_prefix):
    """Return an encoder with empty caches."""
    return TickEncoder(SCHEMA, prefix)


def encode(with_encoder, wire, received_ms):
    """Encode one record received at `received_ms`."""
    return with_encoder.encode(wire, with_encoder.origin(received_ms))


@st.composite
def records(draw):
    """Return any record the schema can hold."""
    columns = {}
    for column in SCHEMA.columns:
        name, avro_type = column["name"], column["type"]
        nullable = isinstance(avro_type, list)
        match avro_type[1] if nullable else avro_type:
            case "string":
                values = {"STND_ISCD": st.just("KR103502GA34"), "STCK_CNTG_HOUR": st.just("091500")}.get(name, texts)
            case "long":
                values = volumes
            case _:
                values = decimals
        columns[name] = draw(values | st.just("") if nullable else values)
    return record(**columns, extra=[*draw(st.lists(texts | st.just(""), max_size=17)), "x"][: draw(st.integers(0, 18))])


def test_the_portals_sample_has_these_bytes():
    """The portal's sample, received at a known instant, gives exactly the bytes in tests/data."""
    tick = encode(encoder(), record(), RECEIVED_MS)
    golden = json.loads((DATA / "golden/portal-tick.json").read_text(encoding="utf-8"))
    assert tick == Tick("KR103502GD31", golden["timestamp_ms"], bytes.fromhex(golden["value"]))


def test_the_portals_sample_reads_as_it_says():
    """Each column of the portal's sample is decoded under its own name and with its own type."""
    tick = encode(encoder(), record(), RECEIVED_MS)
    value = decode(tick.value, SCHEMA)
    assert list(value) == [field["name"] for field in json.loads(bond_tick())["fields"]]
    assert value["BOND_ISNM"] == "국고03250-5303(23-2)"
    assert value["STCK_PRPR"] == Decimal("10575.0000")
    assert value["BOND_CNTG_ERT"] == Decimal("3.0120")
    assert (value["CNTG_VOL"], value["ACML_VOL"], value["PRDY_VOL"]) == (1, 6594124, 9874082)
    assert value["trade_date"] == date(2026, 11, 20)
    assert value["traded_at"] == datetime(2026, 11, 20, 4, 17, 43, tzinfo=UTC)
    assert value["received_at"] == datetime(2026, 11, 20, 4, 17, 44, 123_000, tzinfo=UTC)
    assert (value["source"], value["extra"]) == ("ws", [])
    assert tick.timestamp_ms == RECEIVED_MS - 1123


@given(wire=records())
def test_two_independent_readers_agree_with_what_was_written(wire):
    """Apache's avro and fastavro decode every datum to the values of its columns."""
    tick = encode(encoder(), wire, RECEIVED_MS)
    datum = tick.value[10:]
    apache = avro.io.DatumReader(avro.schema.parse(bond_tick())).read(avro.io.BinaryDecoder(io.BytesIO(datum)))
    fast = fastavro.schemaless_reader(io.BytesIO(datum), fastavro.parse_schema(json.loads(bond_tick())), None)
    assert apache == fast
    for name, text in zip(NAMES, wire.columns, strict=False):
        expected = None if text == "" else type(fast[name])(text) if fast[name] is not None else "a value"
        assert fast[name] == expected, name
    assert fast["extra"] == wire.columns[len(NAMES) :]


@given(wires=st.lists(records(), min_size=1, max_size=4))
def test_cached_values_give_the_same_bytes(wires):
    """An encoder with a value in its cache writes the same bytes as a new encoder."""
    used = encoder()
    for wire in [*wires, *wires]:
        assert encode(used, wire, RECEIVED_MS) == encode(encoder(), wire, RECEIVED_MS)


def by_fastavro(avro_type, value):
    """Return the bytes fastavro writes for a value."""
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(avro_type), value)
    return buffer.getvalue()


@given(wire=records(), received_ms=st.integers(0, 10**13), source=st.sampled_from(["ws", "rest", "replay"]))
def test_a_tick_has_fastavros_bytes(wire, received_ms, source):
    """The whole datum is what fastavro writes for the decoded fields."""
    used = TickEncoder(SCHEMA, SCHEMA.single_object_prefix, source)
    tick = used.encode(wire, used.origin(received_ms))
    fields = decode(tick.value, SCHEMA)
    assert (fields["source"], fields["received_at"]) == (
        source,
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=received_ms),
    )
    assert tick.value[10:] == by_fastavro(SCHEMA.parsed, fields)


@pytest.fixture(scope="module")
def wider():
    """Return a schema by its number of columns, with nullable columns after the nineteenth."""
    kinds = [["null", "string"], ["null", "long"], SCHEMA.columns[4]["type"]]
    schemas = {}
    for width in range(len(NAMES), 38):
        parsed = json.loads(bond_tick())
        parsed["fields"][len(NAMES) : len(NAMES)] = [
            {"name": f"ADDED_{number}", "type": kinds[number % 3], "default": None}
            for number in range(len(NAMES), width)
        ]
        schemas[width] = TickSchema(json.dumps(parsed))
    return schemas


@given(data=st.data(), columns_sent=st.integers(19, 37), width=st.integers(19, 37), count=st.integers(1, 3))
def test_a_frame_of_any_width_is_a_tick_of_any_schema(wider, data, columns_sent, width, count):
    """Columns a record lacks are null, and those after the schema's last one are in `extra`."""
    sent = [data.draw(st.sampled_from(["", "7", "123456"])) for _ in range(len(NAMES), columns_sent)]
    one = "^".join([SAMPLE, *sent])
    caret = "^" * data.draw(st.integers(0, 1))
    raw = f"0|H0BJCNT0|{count:03d}|{'^'.join([one] * count)}{caret}".encode()
    frame = Received(RECEIVED_MS * 1_000_000, 0, 1, False, raw)
    wires = split(frame, ())
    schema = wider[width]
    used = TickEncoder(schema, schema.single_object_prefix)
    run = split_run([frame], used.begins)
    assert (run is not None) is (not caret and (not sent or sent[-1] != ""))
    if run is not None:
        at_once = used.encode_run(run, [RECEIVED_MS] * count)
        assert list(at_once.values) == [encode(used, wire, RECEIVED_MS).value for wire in wires]
    while sent and not sent[-1]:
        sent.pop()
    assert len(wires) == count
    for wire in wires:
        assert wire.text == "^".join([SAMPLE, *sent])
        fields = decode(encode(used, wire, RECEIVED_MS).value, schema)
        padded = [*sent, *[""] * 18]
        for number in range(len(NAMES), width):
            text = padded[number - len(NAMES)]
            assert fields[f"ADDED_{number}"] == ((str, int, Decimal)[number % 3](text) if text else None)
        assert fields["extra"] == sent[width - len(NAMES) :]
        assert fields["STCK_PRPR"] == Decimal(10575)


def test_a_bad_column_after_the_nineteenth_is_named(wider):
    """A column the schema has after the nineteenth is read as strictly as the others."""
    bad = encode(TickEncoder(wider[37], b""), record(extra=["1", "x", "y"]), RECEIVED_MS)
    assert (bad.field, bad.reason) == ("ADDED_20", "FIELD_NUMBER")


def test_a_later_column_must_be_nullable():
    """A schema with a required column after the nineteenth is a ValueError."""
    parsed = json.loads(bond_tick())
    parsed["fields"].insert(len(NAMES), {"name": "ADDED", "type": "long"})
    with pytest.raises(ValueError, match="nullable"):
        TickSchema(json.dumps(parsed))


@pytest.mark.parametrize(
    ("columns", "field", "reason", "isin"),
    [
        ({"STND_ISCD": ""}, "STND_ISCD", "FIELD_EMPTY", None),
        ({"STND_ISCD": "kr103502gd31"}, "STND_ISCD", "FIELD_ISIN", None),
        ({"STND_ISCD": "KR103502GD3"}, "STND_ISCD", "FIELD_ISIN", None),
        ({"STCK_CNTG_HOUR": "240000"}, "STCK_CNTG_HOUR", "FIELD_TIME", "KR103502GD31"),
        ({"STCK_PRPR": ""}, "STCK_PRPR", "FIELD_EMPTY", "KR103502GD31"),
        ({"STCK_PRPR": "1e9"}, "STCK_PRPR", "FIELD_NUMBER", "KR103502GD31"),
        ({"CNTG_VOL": "-1"}, "CNTG_VOL", "FIELD_RANGE", "KR103502GD31"),
        ({"ACML_VOL": "x", "STCK_HGPR": "y"}, "STCK_HGPR", "FIELD_NUMBER", "KR103502GD31"),
        ({"PRDY_VOL": "1" * 19}, "PRDY_VOL", "FIELD_RANGE", "KR103502GD31"),
    ],
)
def test_a_bad_record_names_its_first_bad_column(columns, field, reason, isin):
    """The first bad column in wire order gives the reason; a readable ISIN is the key."""
    bad = encode(encoder(), record(**columns), RECEIVED_MS)
    assert isinstance(bad, BadTick)
    assert (bad.field, bad.reason, bad.isin) == (field, reason, isin)
    assert bad.detail.isascii()


def test_a_caret_in_a_name_is_caught_by_the_columns_it_shifts():
    """A record of 20 columns is allowed, but shifted columns do not fit their types."""
    columns = SAMPLE.replace("국고", "국^고").split("^")
    assert encode(encoder(), WireRecord(columns, "^".join(columns)), RECEIVED_MS).reason == "FIELD_TIME"


@pytest.mark.parametrize(("sign", "kind"), [(" ", "Z"), ("7", "?"), ("", "")])
def test_unknown_codes_refuse_nothing(sign, kind):
    """A sign of one space stays one space, and unknown codes are published as sent."""
    value = decode(encode(encoder(), record(PRDY_VRSS_SIGN=sign, CNTG_TYPE_CLS_CODE=kind), RECEIVED_MS).value, SCHEMA)
    assert (value["PRDY_VRSS_SIGN"], value["CNTG_TYPE_CLS_CODE"]) == (sign or None, kind or None)


def raw_record(**columns):
    """Return the portal's sample record with some columns changed to these bytes."""
    sample = dict(zip(NAMES, SAMPLE.encode().split(b"^"), strict=True))
    extra = columns.pop("extra", [])
    text = b"^".join([*(sample | columns).values(), *extra]).decode("utf-8", "surrogateescape")
    return WireRecord(text.split("^"), text, is_utf8=False)


def test_a_name_in_cp949_is_read():
    """A name that is not UTF-8 has its CP949 reading, and all other columns their own values."""
    good = decode(encode(encoder(), record(), RECEIVED_MS).value, SCHEMA)
    wire = raw_record(BOND_ISNM=good["BOND_ISNM"].encode("cp949"))
    tick = encode(encoder(), wire, RECEIVED_MS)
    value = decode(tick.value, SCHEMA)
    assert value.pop("tick_id") == blake2b(b"2026-11-20|" + wire.raw, digest_size=16).hexdigest() != good.pop("tick_id")
    assert value == good


def test_a_text_in_no_encoding_is_null():
    """A text that is neither UTF-8 nor CP949 is null, and an empty text in `extra`."""
    wire = raw_record(BOND_ISNM=b"\xff", PRDY_VRSS_SIGN=b"\xb1", extra=[b"\xff", "국".encode("cp949"), b"x"])
    value = decode(encode(encoder(), wire, RECEIVED_MS).value, SCHEMA)
    assert (value["BOND_ISNM"], value["PRDY_VRSS_SIGN"], value["extra"]) == (None, None, ["", "국", "x"])


@pytest.mark.parametrize(
    ("columns", "field", "isin"),
    [
        ({"STCK_PRPR": b"1\xff"}, "STCK_PRPR", "KR103502GD31"),
        ({"PRDY_VRSS": b"\xff", "BOND_ISNM": b"\xff"}, "PRDY_VRSS", "KR103502GD31"),
        ({"STND_ISCD": b"\xff"}, "STND_ISCD", None),
        ({"STCK_CNTG_HOUR": b"240000", "PRDY_VOL": b"\xff"}, "PRDY_VOL", "KR103502GD31"),
        ({"STND_ISCD": b"kr", "PRDY_VOL": "국".encode("cp949")}, "PRDY_VOL", None),
    ],
)
def test_bad_bytes_elsewhere_are_a_dead_letter(columns, field, isin):
    """Bad bytes outside a nullable text come before every other reason."""
    bad = encode(encoder(), raw_record(**columns), RECEIVED_MS)
    assert (bad.reason, bad.field, bad.isin) == ("FIELD_NOT_UTF8", field, isin)
    assert bad.detail.isascii()


def test_another_bad_column_beside_a_repaired_name_is_named():
    """A record with a repaired name still gives its first bad column."""
    bad = encode(encoder(), raw_record(BOND_ISNM=b"\xff", STCK_CNTG_HOUR=b"240000"), RECEIVED_MS)
    assert (bad.reason, bad.field) == ("FIELD_TIME", "STCK_CNTG_HOUR")


def test_the_timestamp_is_the_earlier_of_trade_and_receipt():
    """A trade after its receipt is stamped with the receive time: brokers refuse the future."""
    tick = encode(encoder(), record(STCK_CNTG_HOUR="135959"), RECEIVED_MS)
    assert tick.timestamp_ms == RECEIVED_MS


def test_the_trade_date_follows_the_receive_time_over_days():
    """A cached time of day gets a new date when its day is over."""
    used = encoder()
    dates = [
        decode(encode(used, record(), RECEIVED_MS + days * 86_400_000).value, SCHEMA)["trade_date"]
        for days in (0, 1, 1, -3, 0)
    ]
    assert dates == [date(2026, 11, day) for day in (20, 21, 21, 17, 20)]


def test_registry_framing_is_confluents():
    """With a registry's id, the same datum follows a zero byte and the four bytes of the id."""
    own, framed = (
        encode(encoder(prefix), record(), RECEIVED_MS).value
        for prefix in (SCHEMA.single_object_prefix, registry_prefix(7))
    )
    assert framed == b"\x00\x00\x00\x00\x07" + own[10:]
    assert decode(framed, SCHEMA) == decode(own, SCHEMA)


def test_the_fingerprint_has_the_byte_order_of_the_specification():
    """Avro's own vector, 63dd24e7cc258f8a for "null", is written least significant byte first."""
    assert fingerprint('"null"', "CRC-64-AVRO") == "8a8f25cce724dd63"
    assert SCHEMA.single_object_prefix[:2] == b"\xc3\x01"


@pytest.mark.parametrize(
    "payload", [b"", b"\x00", b"\x00\x00\x00\x00\x01", b"\xc3\x01" + b"8" * 8, b"{}", b"\x00\x00\x00\x00\x01\x18KR"]
)
def test_foreign_payloads_are_refused(payload):
    """Any bytes that are not one of the two framings of this schema are a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        decode(payload, SCHEMA)


def test_bytes_after_the_datum_are_refused():
    """Bytes left over after the datum are a ValueError: another schema wrote them."""
    with pytest.raises(ValueError, match="follow"):
        decode(encode(encoder(), record(), RECEIVED_MS).value + b"x", SCHEMA)


def test_times_of_day_are_cached_within_bounds():
    """Each time of day of a long day has its own moment, and only the latest are cached."""
    used = encoder()
    for second in range(0, 3600 * 10, 7):
        text = f"{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}"
        tick = encode(used, record(STCK_CNTG_HOUR=text), RECEIVED_MS)
        assert tick == encode(encoder() if second % 700 == 0 else used, record(STCK_CNTG_HOUR=text), RECEIVED_MS)
    assert len(used._traded) == codec.CACHED_TIMES


def test_a_schema_whose_own_fields_differ_is_refused():
    """A schema with other own fields than this module writes is a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        TickSchema(bond_tick().replace('"tick_id"', '"id"'))


def test_decoded_values_are_printable():
    """Decimals become exact text; dates and times become ISO 8601."""
    value = decode(encode(encoder(), record(), RECEIVED_MS).value, SCHEMA)
    printed = json.loads(json.dumps({name: plain(one) for name, one in value.items()}))
    assert printed["STCK_PRPR"] == "10575.0000"
    assert printed["traded_at"] == "2026-11-20T04:17:43+00:00"
