"""The JSON texts that KIS sends, in exactly the form of the recorded ones."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from simulator import codes

SEOUL_OFFSET_SECONDS = 9 * 3600
# Errors with rt_cd 9 whose header names the instrument.
INSTRUMENT_CODES = {"OPSP0009", "OPSP8991", "OPSP8992"}


@dataclass(frozen=True, slots=True)
class Keys:
    """An AES key of 32 lower-case letters and an IV of 16 lower-case hex digits, as recorded."""

    key: str = field(repr=False)
    iv: str = field(repr=False)


def reply(  # noqa: PLR0913 - the parts of an answer
    code: str, tr_id: str, tr_key: str, keys: Keys | None = None, *, quoted: str = "", encrypts: bool = False
) -> str:
    """Return the answer to one request.

    A success may have `keys`. An error quotes the text `quoted` unless it is empty. `encrypts` says
    that the session's frames will be encrypted.
    """
    body: dict[str, Any] = {"rt_cd": codes.result(code), "msg_cd": code, "msg1": codes.message(code)}
    if quoted and codes.result(code) != "0":
        # KIS quotes the approval key in the error. This is recorded for OPSP0011.
        body["msg1"] = f"{codes.message(code).partition(' : ')[0]} : {quoted}"
    if keys is not None:
        body["output"] = {"iv": keys.iv, "key": keys.key}
    header = _header(code, tr_id, tr_key)
    if encrypts and keys is not None:
        header["encrypt"] = "Y"
    return _text({"header": header, "body": body})


def pingpong(now: float) -> str:
    """Return the PINGPONG for `now` (seconds since 1970); its `datetime` is Seoul time."""
    seoul = time.strftime("%Y%m%d%H%M%S", time.gmtime(now + SEOUL_OFFSET_SECONDS))
    return _text({"header": {"tr_id": "PINGPONG", "datetime": seoul}})


def _header(code: str, tr_id: str, tr_key: str) -> dict[str, str]:
    match code:
        case "OPSP0017":
            return {"tr_id": "(null)"}
        case "OPSP8993":
            return {"tr_id": "", "tr_key": "", "encrypt": "N"}
        case _ if codes.result(code) == "9" and code not in INSTRUMENT_CODES:
            # Recorded session and parse errors name no instrument. KIS really writes "(null)".
            return {"tr_id": "(null)", "tr_key": "", "encrypt": "N"}
        case _:
            return {"tr_id": tr_id, "tr_key": tr_key, "encrypt": "N"}


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
