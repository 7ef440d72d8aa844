"""Answers of inquire-price and inquire-ccnl."""

import json

import pytest

from connector.core.kis.quotations import Failed, ReportedTrade, read_answer, read_trades, read_volume

ISIN = "KR6095572D81"
# The samples of KIS's workbook.
PRICE = {"stnd_iscd": ISIN, "bond_prpr": "10265.00", "bond_prdy_vrss": "-15.00", "acml_vol": "110000"}
TRADE = {
    "stck_cntg_hour": "091632",
    "bond_prpr": "10265.00",
    "bond_prdy_vrss": "-15.00",
    "prdy_vrss_sign": "5",
    "prdy_ctrt": "-0.15",
    "cntg_vol": "110000",
    "acml_vol": "110000",
}


def body(**fields):
    """Return a JSON body."""
    return json.dumps(fields).encode()


def test_success():
    """Only rt_cd 0 is a success, and a token answer has none."""
    assert read_answer(200, body(rt_cd="0", output={}))["output"] == {}
    assert read_answer(200, body(access_token="x"))["access_token"] == "x"


@pytest.mark.parametrize(
    ("status", "content", "code"),
    [
        (200, body(rt_cd="1", msg_cd="MCA00005", msg1="없습니다.   "), "MCA00005"),
        (500, body(rt_cd="1", msg_cd="EGW00201", msg1="초과"), "EGW00201"),
        (403, body(error_code="EGW00133", error_description="1분당 1회"), "EGW00133"),
        (500, body(rt_cd="0"), None),
        (200, body(rt_cd="1", msg_cd="<script>"), None),
        (200, b"[]", None),
        (200, b"\xff", None),
        (200, b"[" * 100_000, None),
    ],
)
def test_failure(status, content, code):
    """An error is told with KIS's code if it has one, inside HTTP 200 too."""
    answer = read_answer(status, content)
    assert isinstance(answer, Failed)
    assert answer.code == code
    assert answer.message == answer.message.strip()


def test_volume():
    """The volume is read from an object, or from an array of one."""
    assert read_volume({"output": PRICE}, ISIN) == read_volume({"output": [PRICE]}, ISIN) == 110000


@pytest.mark.parametrize(
    "output",
    [
        None,
        [],
        [PRICE, PRICE],
        "x",
        PRICE | {"acml_vol": 1},
        PRICE | {"acml_vol": "-1"},
        PRICE | {"acml_vol": "9" * 19},
        PRICE | {"stnd_iscd": "KR103502GA34"},
    ],
)
def test_no_volume(output):
    """An answer of another shape, or for another bond, is refused with a reason."""
    assert read_volume({"output": output}, ISIN).message.startswith("REST_SHAPE: inquire-price")


def test_trades():
    """Trades keep their texts, and an object counts as a list of one."""
    trade = ReportedTrade("091632", "10265.00", "-15.00", "5", "-0.15", "110000", "110000")
    assert read_trades({"output": [TRADE, TRADE]}) == [trade, trade]
    assert read_trades({"output": TRADE}) == [trade]
    assert (trade.volume, trade.accumulated_volume) == (110000, 110000)
    assert read_trades({"output": []}) == []


@pytest.mark.parametrize(
    "row",
    [
        7,
        {},
        TRADE | {"cntg_vol": "1.5"},
        TRADE | {"acml_vol": ""},
        TRADE | {"stck_cntg_hour": "250000"},
        TRADE | {"bond_prpr": "x"},
        TRADE | {"acml_vol": 5},
    ],
)
def test_one_bad_row_refuses_all(row):
    """A row that is no trade refuses the answer, and the reason names the row."""
    assert "row 2 of" in read_trades({"output": [TRADE, row]}).message


def test_too_many_trades():
    """An answer of absurd length is refused."""
    assert "more than 1000" in read_trades({"output": [TRADE] * 1001}).message
    assert "without a list" in read_trades({}).message
