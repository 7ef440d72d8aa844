"""Reads a client's request, or finds the code with which KIS refuses a malformed one."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

TR_ID = "H0BJCNT0"
QUOTES_TR_ID = "H0BJASP0"
INDEX_TR_ID = "H0BICNT0"
# What each TR is asked for: a bond by its ISIN, or an index by its id.
KEY_SHAPES = {
    TR_ID: re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]"),
    QUOTES_TR_ID: re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]"),
    INDEX_TR_ID: re.compile(r"[A-Z0-9]{6}"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A well-formed request."""

    approval_key: str = field(repr=False)
    tr_type: str
    tr_id: str
    tr_key: str

    @property
    def registers(self) -> bool:
        """True if the request registers, false if it releases."""
        return self.tr_type == "1"


@dataclass(frozen=True, slots=True)
class Misshapen:
    """A malformed request, with the OPSP code that refuses it."""

    code: str
    tr_id: str = ""
    tr_key: str = ""


def is_pingpong(raw: bytes) -> bool:
    """Return whether `raw` is a PINGPONG text, in a frame of any kind."""
    if b"PINGPONG" not in raw:
        return False
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    header = value.get("header") if isinstance(value, dict) else None
    return isinstance(header, dict) and header.get("tr_id") == "PINGPONG"


def parse(raw: bytes) -> Request | Misshapen:
    """Return the request in a client's message, or the refusal of a malformed one. Never raises."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return Misshapen("OPSP9999")
    if not isinstance(value, dict):
        return Misshapen("OPSP9999")
    header, body = value.get("header"), value.get("body")
    if not isinstance(header, dict):
        return Misshapen("OPSP9998")
    if not isinstance(body, dict):
        return Misshapen("OPSP9992")
    if not isinstance(body.get("input"), dict):
        return Misshapen("OPSP9991")
    return _judge(header, body["input"])


def _judge(header: dict[str, Any], fields: dict[str, Any]) -> Request | Misshapen:
    approval_key, customer, tr_type = header.get("approval_key"), header.get("custtype"), header.get("tr_type")
    tr_id, tr_key = fields.get("tr_id"), fields.get("tr_key")
    named = (str(tr_id or ""), str(tr_key or ""))
    shape = KEY_SHAPES.get(tr_id) if isinstance(tr_id, str) else None
    refusals = (
        # Nobody recorded the answer to a missing approval key. The text of this code names the app
        # key, which had the place of the approval key before.
        ("OPSP9996", approval_key is None),
        ("OPSP9994", not isinstance(approval_key, str) or not approval_key),
        ("OPSP9997", customer is None),
        ("OPSP8998", customer not in {"P", "B"} if isinstance(customer, str) else True),
        ("OPSP8997", tr_type not in {"1", "2"} if isinstance(tr_type, str) else True),
        ("OPSP8991", shape is None),
        ("OPSP9990", tr_key is None or tr_key == ""),
        ("OPSP8993", shape is None or not isinstance(tr_key, str) or shape.fullmatch(tr_key) is None),
    )
    for code, applies in refusals:
        if applies:
            return Misshapen(code, *named)
    return Request(str(approval_key), str(tr_type), *named)
