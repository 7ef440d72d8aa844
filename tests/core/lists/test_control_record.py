import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core import status
from connector.core.bonds import isin
from connector.core.lists import control_record, subscription
from connector.core.lists.control_record import Refusal, Wish
from connector.core.topic_plan import KAFKAS_BYTES
from tests.core.lists.at_once import apply
from tests.published import CONTROL as SCHEMA

BOND = "KR103502GA34"
OTHER = "KR103502GD31"


def test_a_full_record_is_read():
    """An accepted wish has every field of the record, the time in microseconds UTC."""
    value = {
        "instruments": [BOND, OTHER, BOND],
        "priority": 0,
        "paused": True,
        "requested_by": "desk",
        "requested_at": "1970-01-01T09:00:01.25+09:00",
        "note": "국고채",
        "confirm_removal": True,
    }
    wish = control_record.parse("desk", json.dumps(value).encode())
    assert wish == Wish((BOND, OTHER), 0, paused=True, requested_at=1_250_000, confirm_removal=True, value=value)


@pytest.mark.parametrize("value", [{}, {"instruments": None}, {"instruments": [BOND]}])
def test_the_list_of_one_bond_is_named_by_its_key(value):
    """Under a valid ISIN the instruments may be left out, and null counts as left out."""
    wish = control_record.from_json(BOND, value)
    assert isinstance(wish, Wish)
    assert wish.instruments == (BOND,)
    assert (wish.priority, wish.paused, wish.confirm_removal, wish.requested_at) == (5, False, False, None)


def test_an_empty_list_is_a_list():
    """An empty array is accepted as an empty list, even under an ISIN."""
    wish = control_record.from_json(BOND, {"instruments": []})
    assert isinstance(wish, Wish)
    assert wish.instruments == ()


def test_null_counts_as_absent():
    """A null in an optional field leaves its default."""
    value = dict.fromkeys(("priority", "paused", "requested_by", "requested_at", "note", "confirm_removal"))
    wish = control_record.from_json("desk", {"instruments": [BOND], **value})
    assert isinstance(wish, Wish)
    assert (wish.priority, wish.paused, wish.confirm_removal, wish.requested_at) == (5, False, False, None)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T00:00:00-00:30", 1_800_000_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2016-12-31T23:59:60Z", 1_483_228_799_000_000),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000_000),
        ("9999-12-31T23:59:59-23:59", 253_402_387_139_000_000),
    ],
)
def test_times_are_rfc_3339(text, microseconds):
    """RFC 3339 is read with lower case, leap seconds, long fractions and extreme years."""
    wish = control_record.from_json(BOND, {"requested_at": text})
    assert isinstance(wish, Wish)
    assert wish.requested_at == microseconds


REFUSED = [
    (b"", "zero length"),
    (b" " * (1024 * 1024 + 1), "1048577 bytes"),
    (b"\xff{}", "not UTF-8 at byte 0"),
    (b'{"instruments": ["KR103502GA34"]', "not JSON"),
    (b"\xef\xbb\xbf{}", "not JSON"),
    (b'{"instruments": [], "priority": NaN}', "NaN is not a JSON"),
    (b'{"instruments": [], "instruments": []}', '"instruments" is there twice'),
    (b'{"instruments": [], "x": {"a": 1, "a": 2}}', '"a" is there twice'),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"instruments":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    (b"[]", "the value is an array"),
    (b'"KR103502GA34"', "write a JSON object"),
    (b"null", "the value is null"),
    (b"5", "write a JSON object"),
    (b"{}", "instruments is missing"),
    (b'{"instruments": null}', "instruments is missing"),
    (b'{"instruments": "KR103502GA34"}', "write an array of ISINs"),
    (b'{"instruments": {}}', "instruments is an object"),
    (b'{"instruments": ["KR103502GA34", 5]}', "instruments[1] is 5"),
    (b'{"instruments": [null]}', "instruments[0] is null"),
    (b'{"instruments": ["KR103502GA35"]}', 'instruments[0] "KR103502GA35" has a wrong check digit: KR103502GA34'),
    (b'{"instruments": ["kr103502ga34"]}', 'instruments[0] "kr103502ga34" is not an ISIN'),
    (b'{"instruments": [" KR103502GA34"]}', "is not an ISIN"),
    (b'{"instruments": [], "prio": 1}', '"prio" is unknown'),
    (b'{"instruments": [], "prio": null}', '"prio" is unknown'),
    (b'{"instruments": ["\\ud800"]}', r'instruments[0] "U+D800" is not an ISIN'),
    ('{"instruments": ["KR103502GA34\u200b"]}'.encode(), '"KR103502GA34U+200B" is not an ISIN'),
    ('{"instruments": [], "\u009b\u2028": 1}'.encode(), r'"\x9bU+2028" is unknown'),
    (b'{"instruments": [], "priority": 5.0}', "priority is 5.0"),
    (b'{"instruments": [], "priority": true}', "priority is true"),
    (b'{"instruments": [], "priority": "5"}', 'priority is "5"'),
    (b'{"instruments": [], "priority": 10}', "priority is 10"),
    (b'{"instruments": [], "priority": -1}', "priority is -1"),
    (b'{"instruments": [], "priority": 1' + b"0" * 3000 + b"}", "priority is a huge number"),
    (b'{"instruments": [], "priority": 1' + b"0" * 5000 + b"}", "not JSON"),
    (b'{"instruments": [], "paused": 0}', "paused is 0: write true or false"),
    (b'{"instruments": [], "paused": "true"}', "paused is"),
    (b'{"instruments": [], "confirm_removal": 1}', "confirm_removal is 1"),
    (b'{"instruments": [], "requested_by": 7}', "requested_by is 7: write a string"),
    (b'{"instruments": [], "note": ["a"]}', "note is an array"),
    (b'{"instruments": [], "requested_at": 1767312000}', "requested_at is 1767312000"),
    (b'{"instruments": [], "requested_at": "2026-01-02T09:00:00"}', "RFC 3339 with an offset"),
    (b'{"instruments": [], "requested_at": "2026-01-02 09:00:00Z"}', "RFC 3339"),
    (b'{"instruments": [], "requested_at": "2026-02-30T09:00:00Z"}', "no such time"),
    (b'{"instruments": [], "requested_at": "2026-01-02T24:00:00Z"}', "no such time"),
    (b'{"instruments": [], "requested_at": "2026-01-02T09:00:00+24:00"}', "RFC 3339"),
    (b'{"instruments": [], "requested_at": "2026-01-02T09:00:00.Z"}', "RFC 3339"),
]


@pytest.mark.parametrize(
    ("value", "reason"), REFUSED, ids=[f"{place}-{reason[:20]}" for place, (_, reason) in enumerate(REFUSED)]
)
def test_a_bad_value_is_refused_with_its_reason(value, reason):
    """Each bad value is refused whole, and the reason names the field and what was found."""
    refusal = control_record.parse("desk", value)
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason
    assert len(refusal.reason.encode()) < 500


def test_all_mistakes_are_named_at_once():
    """The reason for a record with three mistakes names all three."""
    refusal = control_record.from_json("desk", {"priority": 10, "paused": "no", "x": 1})
    assert isinstance(refusal, Refusal)
    assert all(
        part in refusal.reason
        for part in ("priority is 10", 'paused is "no"', '"x" is unknown', "instruments is missing")
    )


@pytest.mark.parametrize(
    ("value", "more"),
    [
        ({f"x{number}": 1 for number in range(80_000)} | {"priority": 10}, "; and 79997 more mistakes"),
        ({"instruments": ["bad"] * 10_000}, "; and 9995 more instruments"),
    ],
)
def test_only_the_named_mistakes_are_put_into_words(monkeypatch, value, more):
    """However many mistakes a record has, hardly more than five are described."""
    shown = []
    monkeypatch.setattr(control_record, "printable", lambda text: shown.append(text) or text)
    refusal = control_record.from_json("desk", value)
    assert isinstance(refusal, Refusal)
    assert refusal.reason.endswith(more)
    assert len(shown) <= 6


def test_ten_thousand_instruments_are_the_limit():
    """10,000 entries are accepted, one more is refused."""
    bonds = [isin.with_check_digit(f"KR{number:09}") for number in range(10_001)]
    assert isinstance(control_record.parse("desk", json.dumps({"instruments": bonds[:10_000]}).encode()), Wish)
    refusal = control_record.parse("desk", json.dumps({"instruments": bonds}).encode())
    assert isinstance(refusal, Refusal)
    assert "10001 entries" in refusal.reason


@pytest.mark.parametrize(("characters", "is_accepted"), [(0, False), (1, True), (200, True), (201, False)])
def test_a_list_name_has_1_to_200_characters(characters, is_accepted):
    """The limit counts characters, not bytes."""
    judged = control_record.from_json("가" * characters, {"instruments": []})
    assert isinstance(judged, Wish) is is_accepted


@given(st.text(max_size=20), st.binary(max_size=300))
def test_arbitrary_bytes_never_raise(name, value):
    """Any bytes give either a wish or a refusal."""
    assert isinstance(control_record.parse(name, value), Wish | Refusal)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-1, 10)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([BOND, "KR103502GA35", "2026-01-02T09:00:00Z"])
)
FIELDS = st.sampled_from([*SCHEMA["properties"], "other"])


@given(st.dictionaries(FIELDS, LEAVES | st.lists(LEAVES, max_size=3), max_size=4))
def test_what_is_accepted_fits_the_published_schema(document):
    """Nothing is accepted that the published JSON Schema refuses."""
    judged = control_record.parse("desk", json.dumps(document).encode())
    if isinstance(judged, Wish):
        jsonschema.validate(document, SCHEMA)
        assert judged == control_record.from_json("desk", dict(judged.value))


@pytest.mark.parametrize("key", ["k", "\U0001f600" * 200])
@pytest.mark.parametrize("letter", ["x", "가", "\\n", "\\ud800"])
def test_a_value_is_refused_before_its_status_record_can_be_too_large(letter, key):
    """Kafka takes the record of the largest value, so no list in force is refused for its size."""
    room = control_record.MAX_BYTES - len('{"instruments":["KR103502GA34"],"note":""}') - len(key.encode())
    note = letter * (room // len(letter.encode())) + "x" * (room % len(letter.encode()))
    value = f'{{"instruments":["KR103502GA34"],"note":"{note}"}}'.encode()
    position = subscription.Position(0, 2**63 - 1)
    lists = apply(subscription.Lists(), subscription.ControlRecord(key.encode(), value, position, 0))
    record = status.records(status.ReplicaView({}, {}, lists, "me"), {}, "2026-01-02T00:00:00Z")[f"list/{key}"]
    assert record["state"] == "ACCEPTED"
    assert len(f"list/{key}".encode()) + len(status.encode(record)) < KAFKAS_BYTES - 200
    assert "at most" in control_record.parse(key, value + b" ").reason
