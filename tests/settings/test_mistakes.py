"""Hints for unknown settings, and problems of refused values."""

from typing import Annotated

import pytest
from pydantic import Field

from connector.settings.mistakes import bounds_of, explain

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
        ({"type": "literal_error", "ctx": {"expected": "'a' or 'b'"}}, "is not an allowed value: give 'a' or 'b'"),
        ({"type": "value_error", "ctx": {"error": ValueError("is odd: make it even")}}, "is odd: make it even"),
        ({"type": "string_type"}, "is not text: put quotes around it"),
        ({"type": "brand_new", "msg": "Something"}, "is not valid (Something): correct it"),
    ],
)
def test_texts(error, text):
    """Each kind of error has its own text, an unknown kind the library's."""
    assert explain({"loc": ("http", "port"), "msg": ""} | error, KNOWN) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("greater_than_equal", "is out of range"),
        ("less_than_equal", "is out of range"),
        ("int_parsing_size", "is out of range"),
        ("int_parsing", "is not a whole number"),
        ("float_parsing", "is not a number"),
        ("finite_number", "is not a number"),
    ],
)
def test_a_wrong_number_is_told_its_bounds(kind, text):
    """Whatever is wrong with a number, the text gives the least and the greatest one."""
    error = {"type": kind, "loc": ("http", "port"), "msg": ""}
    assert explain(error, KNOWN, (0, 65535)) == f"{text}: give a number from 0 to 65535, without a unit"
    assert "from 16MiB to 8192TiB" in explain(error, KNOWN, (2**24, 2**53))


def test_bounds_are_found_in_any_type():
    """The bounds of a type are found below other annotations and beside None."""
    number = Annotated[float, Field(ge=0.5, le=2)]
    assert bounds_of(number) == bounds_of(number | None) == bounds_of(Annotated[number, "more"]) == (0.5, 2)
    assert bounds_of(str) is bounds_of(Annotated[int, Field(ge=1)]) is None
