"""The answers KIS gives on the WebSocket: code, text and `rt_cd`.

The source is the portal's FAQ; see "Reply codes" in docs/kis-protocol.md. For OPSP0002, 0003, 0008
and 0011, replies with `rt_cd` "1" are recorded, and for OPSP0009 with "9". For the other error
codes, "1" or "9" is a guess.
"""

MESSAGES = {
    "OPSP0000": "SUBSCRIBE SUCCESS",
    "OPSP0001": "UNSUBSCRIBE SUCCESS",
    "OPSP0002": "ALREADY IN SUBSCRIBE",
    "OPSP0003": "UNSUBSCRIBE ERROR(not found!)",
    "OPSP0007": "SUBSCRIBE INTERNAL ERROR",
    "OPSP0008": "MAX SUBSCRIBE OVER",
    "OPSP0009": "SUBSCRIBE ERROR : mci send failed",
    "OPSP0010": "SUBSCRIBE WARNNING : invalid appkey",
    "OPSP0011": "invalid approval : NOT FOUND",
    "OPSP0017": "ERROR : htsid가잘못되었습니다",
    "OPSP8991": "SUBSCRIBE ERROR : invalid tr_id",
    "OPSP8992": "SUBSCRIBE ERROR : invalid tr_key",
    "OPSP8993": "JSON PARSING ERROR : invalid tr_key",
    "OPSP8994": "JSON PARSING ERROR : personalseckey not found",
    "OPSP8995": "JSON PARSING ERROR : appsecret not found",
    "OPSP8996": "ALREADY IN USE appkey",
    "OPSP8997": "JSON PARSING ERROR : invalid tr_type",
    "OPSP8998": "JSON PARSING ERROR : invalid custtype",
    "OPSP8999": "JSON PARSING ERROR : resource not available (ALLOC_CALL_PARAM)",
    "OPSP9990": "JSON PARSING ERROR : tr_key not found",
    "OPSP9991": "JSON PARSING ERROR : input not found",
    "OPSP9992": "JSON PARSING ERROR : body not found",
    "OPSP9993": "JSON PARSING ERROR : internal error",
    "OPSP9994": "JSON PARSING ERROR : INVALID appkey",
    "OPSP9995": "JSON PARSING ERROR : resource not available",
    "OPSP9996": "JSON PARSING ERROR : appkey not found",
    "OPSP9997": "JSON PARSING ERROR : custtype not found",
    "OPSP9998": "JSON PARSING ERROR : header not found",
    "OPSP9999": "JSON PARSING ERROR : invalid json format",
}

REGISTERED = "OPSP0000"
RELEASED = "OPSP0001"


def message(code: str) -> str:
    """Return the text for `code`, also for an unknown code, because KIS sends unknown codes."""
    return MESSAGES.get(code, "UNKNOWN ERROR")


def result(code: str) -> str:
    """Return the `rt_cd` of a code.

    "0" means done, "1" and "9" that KIS refused the request.
    """
    if code in {REGISTERED, RELEASED}:
        return "0"
    return "1" if code.startswith("OPSP00") and code not in {"OPSP0009", "OPSP0017"} else "9"


def ends_session(code: str) -> bool:
    """Return whether KIS ends TCP after this answer.

    After OPSP0011 this is recorded. OPSP0009 refuses one bond, as OPSP8991 and OPSP8992 do, and
    whether any of the three ends the session is not recorded. For the others it is a guess.
    """
    return code == "OPSP0011" or (result(code) == "9" and code != "OPSP0009")
