"""The HTTP answers of KIS's REST gateway, and how a request is read."""

import json
from typing import Any, Literal

from aiohttp import web

# The texts of EGW00103, EGW00133 and EGW00201 are recorded. The others imitate them. Readers use
# only the code.
ERRORS = {
    "EGW00102": "AppKey는 필수입니다.",
    "EGW00103": "유효하지 않은 AppKey입니다.",
    "EGW00104": "AppSecret은 필수입니다.",
    "EGW00105": "유효하지 않은 AppSecret입니다.",
    "EGW00115": "grant_type은 필수입니다.",
    "EGW00116": "지원하지 않는 grant_type입니다.",
    "EGW00133": "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)",
    "EGW00201": "초당 거래건수를 초과하였습니다.",
}
Shape = Literal["gateway", "rt_cd"]


async def fields_of(request: web.Request) -> dict[str, Any]:
    """Return the fields of a request's JSON body, or nothing if there is no JSON object."""
    try:
        value = json.loads(await request.read())
    except (ValueError, ConnectionResetError):
        return {}
    return value if isinstance(value, dict) else {}


def answer(value: dict[str, Any], status: int = 200) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        status=status,
        text=json.dumps(value, ensure_ascii=False, separators=(",", ":")),
        content_type="application/json",
    )


def refusal(code: str, shape: Shape, quoted: str = "") -> web.Response:
    """Return the answer that refuses a call, with the text `quoted` after KIS's own.

    EGW00201 has one recorded shape: HTTP 500 with `rt_cd`.
    """
    message = ERRORS.get(code, "요청을 처리하지 못했습니다.") + quoted
    if shape == "rt_cd" or code == "EGW00201":
        return answer({"rt_cd": "1", "msg_cd": code, "msg1": message}, 500)
    return answer({"error_description": message, "error_code": code}, 403)
