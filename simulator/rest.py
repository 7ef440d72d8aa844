"""The HTTP answers of KIS's REST gateway, and how a request is read."""

import asyncio
import json
from typing import Any, Literal

from aiohttp import web

# The texts of EGW00103, EGW00121, EGW00123, EGW00133 and EGW00201 are recorded. The others imitate
# them. Readers use only the code.
ERRORS = {
    "EGW00102": "AppKey는 필수입니다.",
    "EGW00103": "유효하지 않은 AppKey입니다.",
    "EGW00104": "AppSecret은 필수입니다.",
    "EGW00105": "유효하지 않은 AppSecret입니다.",
    "EGW00115": "grant_type은 필수입니다.",
    "EGW00116": "지원하지 않는 grant_type입니다.",
    "EGW00121": "유효하지 않은 token 입니다.",
    "EGW00123": "기간이 만료된 token 입니다.",
    "EGW00133": "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)",
    "EGW00201": "초당 거래건수를 초과하였습니다.",
}
HUGE_BYTES = 8 * 1024 * 1024
DRIP_SECONDS = 0.2

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

    EGW00121, EGW00123 and EGW00201 have one recorded shape: HTTP 500 with `rt_cd`.
    """
    message = ERRORS.get(code, "요청을 처리하지 못했습니다.") + quoted
    if shape == "rt_cd" or code in ("EGW00121", "EGW00123", "EGW00201"):
        return answer({"rt_cd": "1", "msg_cd": code, "msg1": message}, 500)
    return answer({"error_description": message, "error_code": code}, 403)


async def replacement(request: web.Request, kind: str) -> web.StreamResponse:
    """Return an answer of the given kind (`faults.BODIES`) instead of the call's own."""
    match kind:
        case "html":
            return web.Response(text="<html><body>점검 중입니다.</body></html>", content_type="text/html")
        case "empty":
            return answer({})
        case "error":
            return answer({"error_description": ERRORS["EGW00103"], "error_code": "EGW00103"})
        case "huge":
            return answer({"huge": "x" * HUGE_BYTES})
        case "cut":
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        case _:
            return await _drip(request)


async def _drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "application/json"})
    await response.prepare(request)
    try:
        while True:
            await response.write(b" ")
            await asyncio.sleep(DRIP_SECONDS)
    except ConnectionResetError:
        return response
