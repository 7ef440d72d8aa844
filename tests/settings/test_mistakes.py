"""Hints for unknown settings, and problems of refused values."""

import pytest

from connector.settings.mistakes import explain

KNOWN = {
    "kafka": ["bootstrap_servers", "client_id"],
    "kis": ["appkey", "session_capacity"],
    "log": ["level"],
    "http": ["port"],
}


@pytest.mark.parametrize(
    ("loc", "hint"),
    [
        (("kafka", "bootstrap_server"), "did you mean kafka.bootstrap_servers?"),
        (("kafka", "session_capacity"), "did you mean kis.session_capacity?"),
        (("bootstrap_servers",), "did you mean kafka.bootstrap_servers?"),
        (("kaffka",), "did you mean kafka?"),
        (("logs", "level"), "did you mean log.level?"),
        (("http", "prot"), "did you mean http.port?"),
        (("http", "zzzzzzzz"), "remove it; `kis-bond check` shows all settings"),
    ],
)
def test_hints(loc, hint):
    """An unknown name gets the likeliest existing one as a hint, or where to find all of them."""
    assert explain({"type": "extra_forbidden", "loc": loc, "msg": ""}, KNOWN) == f"is not a setting: {hint}"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ({"type": "greater_than", "ctx": {"gt": 0.0}}, "is out of range: give a number greater than 0"),
        (
            {"type": "less_than_equal", "ctx": {"le": 65535}},
            "is out of range: give a number less than or equal to 65535",
        ),
        ({"type": "literal_error", "ctx": {"expected": "'a' or 'b'"}}, "is not an allowed value: give 'a' or 'b'"),
        ({"type": "value_error", "ctx": {"error": ValueError("is odd: make it even")}}, "is odd: make it even"),
        ({"type": "string_type"}, "is not text: put quotes around it"),
        ({"type": "brand_new", "msg": "Something"}, "is not valid (Something): correct it"),
    ],
)
def test_texts(error, text):
    """Each kind of error has its own text, an unknown kind the library's."""
    assert explain({"loc": ("http", "port"), "msg": ""} | error, KNOWN) == text
