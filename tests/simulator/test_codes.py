"""The codes KIS answers with."""

import pytest

from simulator import codes


@pytest.mark.parametrize(
    ("code", "rt_cd"),
    [
        ("OPSP0000", "0"),
        ("OPSP0001", "0"),
        ("OPSP0002", "1"),
        ("OPSP0008", "1"),
        ("OPSP0011", "1"),
        ("OPSP0017", "9"),
        ("OPSP8996", "9"),
    ],
)
def test_result(code, rt_cd):
    """A refusal of one registration is "1", an error of the session "9"."""
    assert codes.result(code) == rt_cd


def test_message_of_an_unlisted_code():
    """A code that is in no table still has a text."""
    assert codes.message("OPSP1234")
