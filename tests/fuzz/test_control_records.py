"""Any control record, good or damaged, is a valid wish or a refusal that can be published."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import checks

NAMES = st.sampled_from(["desk", checks.BOND, "x" * 201, ""]) | st.text(
    st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=8
)
KEYS = st.binary(max_size=40) | st.text(st.sampled_from("_\n\\\"'=:a- 국\u200b"), max_size=8).map(str.encode)
LEAVES = st.none() | st.booleans() | st.integers(-1, 10) | st.floats() | st.text(st.characters(), max_size=6)
ISINS = st.sampled_from([checks.BOND, checks.OTHER_BOND, "KR103502GA35", "kr103502ga34", "KR103502GA3"])
TIMES = st.datetimes().map(lambda time: f"{time.isoformat()}+09:00") | st.text(max_size=8)
FIELDS = {
    "instruments": st.lists(ISINS | LEAVES, max_size=4) | LEAVES,
    "priority": st.integers(-1, 10) | LEAVES,
    "paused": st.booleans() | LEAVES,
    "requested_by": LEAVES,
    "requested_at": TIMES | LEAVES,
    "note": LEAVES,
    "confirm_removal": st.booleans() | LEAVES,
    "other": LEAVES,
}


@given(NAMES, st.fixed_dictionaries({}, optional=FIELDS) | LEAVES | st.lists(LEAVES, max_size=3))
def test_a_value_of_any_content_passes_every_check(name, value):
    """Any content in a control record's fields gives a wish or a refusal."""
    checks.control_value(name.encode() + b"\n" + json.dumps(value).encode())


@given(NAMES, st.fixed_dictionaries({}, optional=FIELDS), st.data())
def test_a_torn_value_passes_every_check(name, value, data):
    """A value that is cut short or has foreign bytes gives a wish or a refusal."""
    raw = json.dumps(value).encode()
    at = data.draw(st.integers(0, len(raw)))
    checks.control_value(
        name.encode() + b"\n" + raw[:at] + data.draw(st.binary(max_size=4)) + raw[at + data.draw(st.integers(0, 8)) :]
    )


@settings(max_examples=30)
@given(KEYS | NAMES.map(str.encode))
def test_a_key_of_any_content_passes_every_check(key):
    """Any key names a list or changes nothing, and takes time in proportion to its length."""
    checks.control_key(key)
