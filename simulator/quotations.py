"""The REST calls for a bond's present volume and its latest trades.

`inquire-price` and `inquire-ccnl` answer from the market, so they also know the trades that never
reached a session. The shapes are those of docs/kis-protocol.md.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from simulator import rest
from simulator.app_keys import AppKeys
from simulator.faults import Faults
from simulator.market import Market, Trading, hundredths, percent, seoul, won
from simulator.settings import SimulatorSettings
from simulator.token import TokenCall

PATH = "/uapi/domestic-bond/v1/quotations"
PRICE_TR_ID, CCNL_TR_ID = "FHKBJ773400C0", "FHKBJ773403C0"
BONDS = "B"  # FID_COND_MRKT_DIV_CODE

Answer = dict[str, Any] | list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One quotation call: its time in ns since 1970, its TR id, its bond, and why it was refused.

    `code` is None if the call was answered.
    """

    at: int
    tr_id: str
    isin: str
    code: str | None


@dataclass(slots=True)
class Quotations:
    """Serves both calls. The rate is counted for each app key, as KIS counts it."""

    settings: SimulatorSettings
    app_keys: AppKeys
    tokens: TokenCall
    market: Market
    faults: Faults
    inquiries: list[Inquiry] = field(default_factory=list)
    _calls: dict[int, deque[float]] = field(default_factory=dict)

    def add_to(self, application: web.Application) -> None:
        """Serve the calls under KIS's paths."""
        for name, tr_id, make in (("price", PRICE_TR_ID, _price), ("ccnl", CCNL_TR_ID, _trades)):
            application.router.add_get(f"{PATH}/inquire-{name}", self._handler(tr_id, make))

    def _handler(self, tr_id: str, make: Callable[[Trading, str], Answer]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            isin = request.query.get("FID_INPUT_ISCD", "")
            code = self._refusal(request, tr_id)
            if self.settings.keep_sent:
                self.inquiries.append(Inquiry(time.time_ns(), tr_id, isin, code))
            if code is not None:
                return _refused(code)
            if (status := self.faults.text("rest-down")) is not None:
                return web.Response(status=int(status), text="Service Unavailable")
            if (replacement := self.faults.text("rest-body")) is not None:
                return await rest.replacement(request, replacement)
            now = self.settings.clock()
            output = make(self.market.trading(isin, now), seoul(now)[0])
            texts = {"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다."}
            return rest.answer({"output": output, **texts})

        return handle

    def _refusal(self, request: web.Request, tr_id: str) -> str | None:
        """Return the code that refuses the call, or None."""
        headers = request.headers
        fields = {name: headers.get(name) for name in ("appkey", "appsecret")}
        number, code = self.app_keys.judge(fields | {"grant_type": "client_credentials"}, "appsecret")
        if code is not None or number is None:
            return code or "EGW00103"
        if code := self.tokens.refusal_of(headers.get("authorization", "").removeprefix("Bearer ")):
            return code
        if self._is_too_fast(number) or self.faults.strike("rest-too-fast"):
            return "EGW00201"
        right = headers.get("tr_id") == tr_id and headers.get("custtype") in ("P", "B")
        if not right or request.query.get("FID_COND_MRKT_DIV_CODE") != BONDS:
            return "OPSQ2001"
        return self.faults.text("rest-error")

    def _is_too_fast(self, number: int) -> bool:
        now, calls = time.monotonic(), self._calls.setdefault(number, deque())
        while calls and calls[0] <= now - 1:
            calls.popleft()
        if 0 < self.settings.quotations_per_second <= len(calls):
            return True
        calls.append(now)
        return False


def _refused(code: str) -> web.Response:
    """Refuse as KIS does: the gateway's own codes come with HTTP 500, all others inside 200."""
    if code.startswith("EGW"):
        return rest.refusal(code, "gateway")
    return rest.answer({"rt_cd": "1", "msg_cd": code, "msg1": "조회할 자료가 없습니다."})


def _price(trading: Trading, day: str) -> dict[str, str]:
    of, latest = trading.of, trading.latest(day)
    newest = latest[0] if latest else None
    change, ratio, sign = (newest[4], newest[5], newest[3]) if newest else ("0.00", "0.00", "3")
    open_high_low = newest[8:11] if newest else ["0.00"] * 3
    return {
        "stnd_iscd": of.isin,
        "hts_kor_isnm": of.name,
        "bond_prpr": won(trading.price),
        "prdy_vrss_sign": sign,
        "bond_prdy_vrss": change,
        "prdy_ctrt": ratio,
        "acml_vol": str(trading.accumulated(day)),
        "bond_prdy_clpr": won(trading.price)
        if newest is None
        else hundredths(_hundredths(newest[6]) - _hundredths(change)),
        "bond_oprc": open_high_low[0],
        "bond_hgpr": open_high_low[1],
        "bond_lwpr": open_high_low[2],
        "ernn_rate": percent(of.yield_at(trading.price)),
    }


def _trades(trading: Trading, day: str) -> list[dict[str, str]]:
    return [
        {
            "stck_cntg_hour": columns[2],
            "bond_prpr": columns[6],
            "bond_prdy_vrss": columns[4],
            "prdy_vrss_sign": columns[3],
            "prdy_ctrt": columns[5],
            "cntg_vol": columns[7],
            "acml_vol": columns[16],
        }
        for columns in trading.latest(day)
    ]


def _hundredths(text: str) -> int:
    return int(text.replace(".", ""))
