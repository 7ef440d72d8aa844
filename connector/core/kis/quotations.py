"""The REST calls `inquire-price` and `inquire-ccnl`, and how we read their answers.

Sources: koreainvestment/open-trading-api:examples_llm/domestic_bond/inquire_price and
inquire_ccnl. KIS reports an error also inside HTTP 200, so only `rt_cd` "0" is a success. An output
is an object or an array, whatever the documents say.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

PATH: Final = "/uapi/domestic-bond/v1/quotations"
BONDS: Final = "B"  # FID_COND_MRKT_DIV_CODE
MOST_TRADES: Final = 1_000

TOO_FAST: Final = "EGW00201"
TOKEN_ENDED: Final = frozenset({"EGW00121", "EGW00123"})

_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,20}")
_VOLUME: Final = re.compile(r"[0-9]{1,18}")
_PRICE: Final = re.compile(r"[0-9]{1,14}(\.[0-9]{1,8})?")
_HOUR: Final = re.compile(r"(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]")


class Call(NamedTuple):
    """One kind of call: the last part of its path, and its TR id."""

    name: str
    tr_id: str


PRICE: Final = Call("inquire-price", "FHKBJ773400C0")
CCNL: Final = Call("inquire-ccnl", "FHKBJ773403C0")


@dataclass(frozen=True, slots=True)
class Failed:
    """KIS did not answer the call. `code` is KIS's own, or None if it named none."""

    code: str | None
    message: str


class ReportedTrade(NamedTuple):
    """One trade of `inquire-ccnl`, with its texts as KIS sent them."""

    hour: str
    price: str
    change: str
    sign: str
    percent: str
    volume_text: str
    accumulated_text: str

    @property
    def volume(self) -> int:
        """The trade's volume."""
        return int(self.volume_text)

    @property
    def accumulated_volume(self) -> int:
        """The day's volume with this trade."""
        return int(self.accumulated_text)


def read_answer(status: int, body: bytes) -> dict[str, Any] | Failed:
    """Return the fields of a successful answer, or why there is none. Never raises.

    A body of another shape is never quoted.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return Failed(None, f"REST_ANSWER: KIS answered HTTP {status} without a JSON object")
    if status == 200 and ("access_token" in fields or fields.get("rt_cd") == "0"):
        return fields
    code = _text(fields, "error_code") or _text(fields, "msg_cd")
    message = _text(fields, "error_description") or _text(fields, "msg1")
    if not _CODE.fullmatch(code):
        return Failed(None, f"REST_ANSWER: KIS answered HTTP {status} without a result or a code")
    return Failed(code, message.strip())


def read_volume(fields: dict[str, Any], isin: str) -> int | Failed:
    """Return the day's volume of the bond so far, from the answer of `inquire-price`."""
    output = fields.get("output")
    row = output[0] if isinstance(output, list) and len(output) == 1 else output
    if not isinstance(row, dict):
        return Failed(None, "REST_SHAPE: inquire-price answered without an object in output")
    if row.get("stnd_iscd", isin) != isin:
        return Failed(None, f"REST_SHAPE: inquire-price answered for another bond than {isin}")
    volume = row.get("acml_vol")
    if not isinstance(volume, str) or not _VOLUME.fullmatch(volume):
        return Failed(None, "REST_SHAPE: inquire-price answered without a whole number in acml_vol")
    return int(volume)


def read_trades(fields: dict[str, Any]) -> list[ReportedTrade] | Failed:
    """Return the latest trades, in KIS's order, from the answer of `inquire-ccnl`.

    One row of another shape refuses the answer, because neighbours would seem adjacent without it.
    """
    output = fields.get("output")
    rows = [output] if isinstance(output, dict) else output
    if not isinstance(rows, list):
        return Failed(None, "REST_SHAPE: inquire-ccnl answered without a list in output")
    if len(rows) > MOST_TRADES:
        return Failed(None, f"REST_SHAPE: inquire-ccnl answered with more than {MOST_TRADES} trades")
    trades = []
    for number, row in enumerate(rows, 1):
        trade = _trade(row)
        if trade is None:
            return Failed(None, f"REST_SHAPE: row {number} of inquire-ccnl is not a trade")
        trades.append(trade)
    return trades


def _trade(row: object) -> ReportedTrade | None:
    if not isinstance(row, dict):
        return None
    names = ("stck_cntg_hour", "bond_prpr", "bond_prdy_vrss", "prdy_vrss_sign", "prdy_ctrt", "cntg_vol", "acml_vol")
    trade = ReportedTrade(*(_text(row, name) for name in names))
    shapes = (
        (_HOUR, trade.hour),
        (_PRICE, trade.price),
        (_VOLUME, trade.volume_text),
        (_VOLUME, trade.accumulated_text),
    )
    return trade if all(shape.fullmatch(text) for shape, text in shapes) else None


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
