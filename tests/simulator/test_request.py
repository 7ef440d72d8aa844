"""Well-formed and malformed requests."""

import json

import pytest

from simulator.request import Misshapen, Request, is_pingpong, parse


def request(header=None, fields=None):
    """Return a request with some fields changed, those set to ... left out."""
    head = {"approval_key": "a", "custtype": "P", "tr_type": "1", "content-type": "utf-8"} | (header or {})
    inner = {"tr_id": "H0BJCNT0", "tr_key": "KR103502GA34"} | (fields or {})
    head, inner = ({name: value for name, value in part.items() if value is not ...} for part in (head, inner))
    return {"header": head, "body": {"input": inner}}


def test_register_and_release():
    """Type 1 registers and type 2 releases."""
    register, release = (parse(json.dumps(request({"tr_type": kind})).encode()) for kind in "12")
    assert register == Request("a", "1", "H0BJCNT0", "KR103502GA34")
    assert (register.registers, release.registers) == (True, False)


@pytest.mark.parametrize(("tr_id", "tr_key"), [("H0BJASP0", "KR103502GD31"), ("H0BICNT0", "KBPR01")])
def test_order_books_and_indices(tr_id, tr_key):
    """Order books are asked for by ISIN, and indices by the index's id."""
    assert parse(json.dumps(request(fields={"tr_id": tr_id, "tr_key": tr_key})).encode()).tr_id == tr_id
    swapped = {"KR103502GD31": "KBPR01", "KBPR01": "KR103502GD31"}[tr_key]
    assert parse(json.dumps(request(fields={"tr_id": tr_id, "tr_key": swapped})).encode()).code == "OPSP8993"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ([], "OPSP9999"),
        ({}, "OPSP9998"),
        ({"header": {}}, "OPSP9992"),
        ({"header": {}, "body": {}}, "OPSP9991"),
        (request({"approval_key": ...}), "OPSP9996"),
        (request({"approval_key": ""}), "OPSP9994"),
        (request({"custtype": ...}), "OPSP9997"),
        (request({"custtype": "X"}), "OPSP8998"),
        (request({"tr_type": "0"}), "OPSP8997"),
        (request({"tr_type": 1}), "OPSP8997"),
        (request({"tr_type": ...}), "OPSP8997"),
        (request(fields={"tr_id": "H0BJCNT9"}), "OPSP8991"),
        (request(fields={"tr_id": ["H0BJCNT0"]}), "OPSP8991"),
        (request(fields={"tr_key": ...}), "OPSP9990"),
        (request(fields={"tr_key": "kr103502ga34"}), "OPSP8993"),
        (request(fields={"tr_key": "005930"}), "OPSP8993"),
        (request(fields={"tr_key": ["KR103502GA34"]}), "OPSP8993"),
    ],
)
def test_refused_shape(value, code):
    """Each missing or wrong part has the code KIS gives it."""
    assert parse(json.dumps(value).encode()).code == code


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b"0|pingpong"])
def test_not_json(raw):
    """A text that is not JSON is OPSP9999."""
    assert parse(raw) == Misshapen("OPSP9999")


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b'{"header":{"tr_id":"PINGPONG","datetime":"20231004160455"}}', True),
        (b'{"header":{"tr_id":"H0BJCNT0"},"body":"PINGPONG"}', False),
        (b"PINGPONG", False),
        (b'["PINGPONG"]', False),
        (b"", False),
        (b'["PINGPONG",' + b"[" * 200_000, False),
    ],
)
def test_is_pingpong(raw, answer):
    """Only the tr_id makes a PINGPONG."""
    assert is_pingpong(raw) is answer
