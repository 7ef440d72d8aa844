"""Reads the JSON messages KIS sends on the WebSocket, and writes our requests.

Sources: KIS portal, H0BJCNT0, "[장내채권] 실시간시세"; captured replies (docs/kis-protocol.md,
requests and replies).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from connector.core.cipher_key import CipherKey

TR_ID = "H0BJCNT0"
# What KIS writes as tr_id or tr_key if an error names no bond.
UNNAMED = ("", "(null)")
REGISTER: Literal["1"] = "1"
# The portal and the official sample's code send "2"; the sample's docstring says "0".
RELEASE: Literal["2"] = "2"

TrType = Literal["1", "2"]

LONGEST_TEXT = 64 * 1024
# KIS's largest reply opens four objects. json.loads can go only as deep as our own stack allows.
MOST_BRACKETS = 64
_CODE = re.compile(r"[A-Za-z0-9_-]{1,20}")
_RT_CD = re.compile(r"[A-Za-z0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class Ping:
    """KIS's keep-alive; KIS expects the identical text back."""

    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to a request; if an error names no bond, `tr_id` and `tr_key` are "" or "(null)"."""

    tr_id: str
    tr_key: str
    rt_cd: str
    msg_cd: str
    msg1: str
    cipher_key: CipherKey | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A control message that is neither a ping nor a reply.

    `why` is CTRL_SHAPE and a few words. It never quotes the message, which may hold a key.
    """

    why: str


def is_control(raw: bytes) -> bool:
    """Whether a message is JSON and not a data frame: its first non-blank byte is `{`."""
    return raw.lstrip(b" \t\r\n")[:1] == b"{"


def parse(text: str) -> Ping | Reply | Unreadable:
    """Read one control message. Never raises."""
    if len(text) > LONGEST_TEXT:
        return Unreadable("CTRL_SHAPE: longer than 64 KiB")
    if text.count("{") + text.count("[") > MOST_BRACKETS:
        return Unreadable("CTRL_SHAPE: nested too deeply")
    try:
        message = json.loads(text, object_pairs_hook=_without_duplicates)
    except _DuplicateKeyError:
        return Unreadable("CTRL_SHAPE: a key appears twice")
    except ValueError:
        return Unreadable("CTRL_SHAPE: not JSON")
    header = _part(message, "header")
    if _text(header, "tr_id").upper() == "PINGPONG":
        return Ping(text)
    return _reply(header, _part(message, "body"))


def request(approval_key: str, customer_type: str, tr_type: TrType, isin: str) -> str:
    """Return the text that registers or releases one bond."""
    return json.dumps(
        {
            "header": {
                "approval_key": approval_key,
                "custtype": customer_type,
                "tr_type": tr_type,
                "content-type": "utf-8",
            },
            "body": {"input": {"tr_id": TR_ID, "tr_key": isin}},
        },
        separators=(",", ":"),
    )


class _DuplicateKeyError(ValueError):
    """A JSON object holds a key twice, so the object's meaning is unclear."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateKeyError
    return found


def _reply(header: dict[str, Any], body: dict[str, Any]) -> Reply | Unreadable:
    rt_cd, msg_cd = _text(body, "rt_cd"), _text(body, "msg_cd")
    if not _RT_CD.fullmatch(rt_cd) or not _CODE.fullmatch(msg_cd):
        return Unreadable("CTRL_SHAPE: without usable rt_cd and msg_cd")
    output = _part(body, "output")
    key, iv = _text(output, "key"), _text(output, "iv")
    # AES-256-CBC uses these 32 and 16 characters unchanged as key and IV.
    usable = len(key.encode()) == 32 and len(iv.encode()) == 16
    return Reply(
        tr_id=_text(header, "tr_id"),
        tr_key=_text(header, "tr_key"),
        rt_cd=rt_cd,
        msg_cd=msg_cd,
        msg1=_text(body, "msg1").strip(),
        cipher_key=CipherKey(key, iv) if usable else None,
    )


def _part(message: Any, name: str) -> dict[str, Any]:
    part = message.get(name) if isinstance(message, dict) else None
    return part if isinstance(part, dict) else {}


def _text(part: dict[str, Any], name: str) -> str:
    # JSON escapes can spell lone surrogates, which no UTF-8 topic or log can hold.
    value = part.get(name)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
