"""Lines of a recording hold any frame, and lines of strangers raise a sentence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.ticks.frame import Received
from connector.core.ticks.recording import FIRST_LINE, MOST_FRAME_BYTES, BadLine, check_first_line, from_line, to_line

NS = 1_795_148_263_000_000_001


@given(raw=st.binary() | st.text().map(str.encode), binary=st.booleans(), slot=st.integers(0, 65_535))
def test_a_frame_comes_back_as_it_was(raw, binary, slot):
    """A frame of any bytes comes back from its line, which is one line."""
    frame = Received(NS, slot, 0, binary, raw)
    line = to_line(frame)
    assert line.count(b"\n") == 1
    assert from_line(line) == frame


def test_a_line_has_the_fields_of_the_contract():
    """Text is written as text, and bytes that are no UTF-8 as Base64."""
    assert json.loads(to_line(Received(NS, 3, 7, False, "0|채".encode()))) == {
        "received_ns": NS,
        "slot": 3,
        "text": "0|채",
    }
    assert json.loads(to_line(Received(NS, 3, 7, False, b"\xff"))) == {"received_ns": NS, "slot": 3, "base64": "/w=="}


def test_the_first_line_names_the_version():
    """The first line is that of the contract, and is accepted."""
    assert FIRST_LINE == b'{"kis_bond_recording": 1}\n'
    check_first_line(FIRST_LINE)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"kis_bond_recording": 2}\n', "version 2"),
        (b'{"kis_bond_recording": true}\n', "no recording"),
        (b'{"kis_bond_recording": "1"}\n', "no recording"),
        (b"{}\n", "no recording"),
        (b"[]\n", "not a JSON object"),
        (b"\xff\n", "not JSON in UTF-8"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b'{"kis_bond_recording": 1}', "cut off"),
    ],
)
def test_a_bad_first_line_says_why(line, says):
    """Another version, another kind of file and a file without a whole line are refused."""
    with pytest.raises(BadLine, match=says):
        check_first_line(line)


def line_of(**fields):
    """Return a good line with other fields; None leaves one out."""
    whole = {"received_ns": NS, "slot": 0, "text": "0|x"} | fields
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode() + b"\n"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"received_ns": None}, "received_ns"),
        ({"received_ns": True}, "received_ns"),
        ({"received_ns": float(NS)}, "received_ns"),
        ({"received_ns": -1}, "received_ns"),
        ({"received_ns": 1 << 63}, "received_ns"),
        ({"slot": -1}, "slot"),
        ({"slot": 65_536}, "slot"),
        ({"slot": "0"}, "slot"),
        ({"slot": True}, "slot"),
        ({"text": None}, "exactly one"),
        ({"base64": "AA=="}, "exactly one"),
        ({"text": 1}, "exactly one"),
        ({"text": "\ud800"}, "surrogate"),
        ({"text": None, "base64": "A"}, "not Base64"),
        ({"text": None, "base64": "채AA="}, "not Base64"),
        ({"text": "x" * (MOST_FRAME_BYTES + 1)}, "more than"),
    ],
)
def test_a_bad_line_says_why(fields, says):
    """A field that is missing, of another kind or out of bounds is named."""
    with pytest.raises(BadLine, match=says):
        from_line(line_of(**fields))


def test_unknown_fields_are_ignored():
    """A field that a later version added does not stop this one."""
    assert from_line(line_of(added={"x": 1})).raw == b"0|x"
