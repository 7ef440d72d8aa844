"""Each column's encoder writes fastavro's bytes, or says why a text does not fit."""

import io
import re
from decimal import Decimal
from itertools import pairwise
from operator import itemgetter

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.ticks import encoders as codec
from connector.core.ticks.avro import TickSchema
from connector.core.ticks.columns import BadColumn
from connector.packaged_files import bond_tick

SCHEMA = TickSchema(bond_tick())
ENCODERS = dict(zip([column["name"] for column in SCHEMA.columns], codec.encoders(SCHEMA.columns), strict=True))

decimals = st.decimals(-(10**14) + 1, 10**14 - 1, places=4).map(lambda number: format(number, "f"))
volumes = st.integers(0, 10**18 - 1).map(str)


def by_fastavro(avro_type, value):
    """Return the bytes fastavro writes for a value."""
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(avro_type), value)
    return buffer.getvalue()


def bare(avro_type):
    """Return the type without null."""
    return avro_type[1] if isinstance(avro_type, list) else avro_type


def ten_thousandths(text):
    """Return a decimal with four places, which is all fastavro accepts."""
    return Decimal(text).quantize(Decimal("0.0001"))


def read_apart(avro_type, text):
    """Read a number by the documented grammar; return the reason if it does not fit."""
    if not text:
        return None if isinstance(avro_type, list) else "FIELD_EMPTY"
    if bare(avro_type) == "long":
        any_number, in_range, read = r"-?[0-9]+", r"[0-9]{1,18}", int
    else:
        any_number, in_range = r"-?[0-9]+(\.[0-9]+)?", r"-?[0-9]{1,14}(\.[0-9]{1,4}0*)?"
        read = ten_thousandths
    if re.fullmatch(any_number, text) is None:
        return "FIELD_NUMBER"
    return read(text) if re.fullmatch(in_range, text) else "FIELD_RANGE"


def detail_of(reason, text, avro_type):
    """Return the sentence of a dead letter for a number."""
    quoted = ascii(text if len(text) <= 40 else text[:40] + "...")
    whole = bare(avro_type) == "long"
    if reason == "FIELD_NUMBER":
        return f"{quoted} is not a {'whole' if whole else 'decimal'} number"
    return f"{quoted} " + (
        "is negative or has more than 18 digits" if whole else "has more than 14 digits before or 4 after the point"
    )


digits = st.text("0123456789", max_size=20)
numbers = (
    decimals
    | volumes
    | st.sampled_from(["", "-", "-0", "-0.0000", "0.00000", "1" * 14 + ".0001", "1" * 15, "1.", ".5", "1e9", "１", "²"])
    | st.builds(
        lambda sign, whole, point, part: sign + whole + point + part,
        st.sampled_from(["", "-"]),
        digits,
        st.sampled_from(["", ".", ".", "e"]),
        digits,
    )
    | st.builds(  # near the numbers where a sign needs one more byte
        lambda bits, near, sign: sign + format(Decimal(2 ** (bits - 1) + near).scaleb(-4), "f"),
        st.sampled_from(range(8, 57, 8)),
        st.integers(-2, 2),
        st.sampled_from(["", "-"]),
    )
)


@pytest.mark.parametrize(
    "column", [one for one in SCHEMA.columns if bare(one["type"]) != "string"], ids=itemgetter("name")
)
@given(text=numbers)
def test_a_number_has_fastavros_bytes_or_a_reason(column, text):
    """Each number column has fastavro's bytes, new and cached, or the reason of the grammar."""
    name, avro_type = column["name"], column["type"]
    expected = read_apart(avro_type, text)
    encode, encode_many, _ = ENCODERS[name]
    if isinstance(expected, str):
        with pytest.raises(BadColumn) as raised:
            encode(text)
        if text:  # TickEncoder calls an empty column FIELD_EMPTY
            assert (raised.value.reason, raised.value.detail) == (expected, detail_of(expected, text, avro_type))
        with pytest.raises(ValueError, match=r"."):
            list(encode_many(["1", text, "2"]))
    else:
        assert encode(text) == encode(text) == by_fastavro(avro_type, expected)
        one, two = encode("1"), encode("2")
        assert list(encode_many(["1", text, "2"])) == [one, encode(text), two]


@pytest.mark.parametrize("name", ["BOND_ISNM", "PRDY_VRSS_SIGN", "CNTG_TYPE_CLS_CODE"])
@given(text=st.just("") | st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_a_text_has_fastavros_bytes(name, text):
    """Each text column has fastavro's bytes, new and cached."""
    expected = by_fastavro(["null", "string"], text or None)
    encode, encode_many, _ = ENCODERS[name]
    assert [encode(text), encode(text), *encode_many([text, text])] == [expected] * 4


@given(texts=st.lists(volumes | st.integers(0, 2**14).map(str), min_size=1, max_size=20))
def test_many_volumes_have_the_bytes_of_each(texts):
    """Many volumes at once have the same bytes as one after another."""
    encode, encode_many, _ = ENCODERS["ACML_VOL"]
    assert list(encode_many(texts)) == [encode(text) for text in texts]


@given(data=st.data())
def test_a_group_has_the_bytes_of_its_columns(data):
    """A group encodes its columns as they encode theirs; those that a text lacks are empty."""
    columns = list(ENCODERS.values())
    begins = [group.begin for group in codec.groups(columns)]
    for group, (begin, end) in zip(codec.groups(columns), pairwise([*begins, len(columns)]), strict=True):
        texts = [data.draw(st.sampled_from(["1", "2", "KR103502GD31", "131743", "x"])) for _ in range(begin, end)]
        missing = data.draw(st.integers(0, end - begin - 1))
        kept = texts[: len(texts) - missing]
        try:
            parts = [column.one(text) for column, text in zip(columns[begin:], kept + [""] * missing, strict=False)]
        except BadColumn:
            with pytest.raises(BadColumn):
                group.one("^".join(kept))
        else:
            assert [group.one("^".join(kept)), *group.many(["^".join(kept)] * 2)] == [b"".join(parts)] * 3


def test_what_repeats_is_grouped_and_the_rest_is_alone():
    """Time, yield and volumes of the day are alone; the others join their neighbours."""
    names = list(ENCODERS)
    assert [names[group.begin] for group in codec.groups(list(ENCODERS.values()))] == [
        "STND_ISCD",
        "STCK_CNTG_HOUR",
        "PRDY_VRSS_SIGN",
        "CNTG_VOL",
        "STCK_OPRC",
        "BOND_CNTG_ERT",
        "OPRC_ERT",
        "ACML_VOL",
        "PRDY_VOL",
    ]


def test_a_cache_evicts_the_texts_that_were_not_used_lately():
    """A full cache keeps the texts in use, evicts others, and never holds a long text."""
    encoded = []
    cache = codec.Cache(lambda text: encoded.append(text) or text.encode(), 8)
    for number in range(100):
        assert (cache["used"], cache[str(number)], cache["x" * 129]) == (b"used", b"%d" % number, b"x" * 129)
        assert len(cache) + len(cache._older) <= 16
    assert encoded.count("used") == 1
    assert encoded.count("x" * 129) == 100
    assert cache["99"] == b"99"
    assert encoded.count("99") == 1


def test_volumes_of_the_day_are_not_cached():
    """A volume of the day never enters a cache, because it does not repeat."""
    for column in SCHEMA.columns:
        encode = ENCODERS[column["name"]].one
        assert isinstance(getattr(encode, "__self__", None), codec.Cache) is (column["type"] != "long")
