"""The calls for a bond's present volume and its latest trades."""

import json

import aiohttp
import pytest

from simulator import Simulator

ISIN = "KR103502GA34"
PRICE, CCNL = ("inquire-price", "FHKBJ773400C0"), ("inquire-ccnl", "FHKBJ773403C0")
KEYS = {"appkey": "key0", "appsecret": "secret0"}


async def token(kis):
    """Return an access token."""
    fields = KEYS | {"grant_type": "client_credentials"}
    async with aiohttp.ClientSession() as http, http.post(f"{kis.rest_url}/oauth2/tokenP", json=fields) as response:
        return (await response.json())["access_token"]


async def ask(kis, call, bearer, isin=ISIN, **changed):
    """Return status and body of one quotation call."""
    name, tr_id = call
    headers = KEYS | {"authorization": f"Bearer {bearer}", "tr_id": tr_id, "custtype": "P"} | changed
    query = {"FID_COND_MRKT_DIV_CODE": "B", "FID_INPUT_ISCD": isin}
    url = f"{kis.rest_url}/uapi/domestic-bond/v1/quotations/{name}"
    async with aiohttp.ClientSession() as http, http.get(url, params=query, headers=headers) as response:
        return response.status, json.loads(await response.text())


async def test_both_calls_know_what_was_left_out(join):
    """The calls answer from the market, so they know a tick that never reached the socket."""
    async with Simulator(faults=["missing=3"], ccnl_depth=5) as kis:
        await join(kis, ISIN)
        records = [record.split("^") for record in await kis.emit_ticks(ISIN, 7)]
        bearer = await token(kis)
        _, price = await ask(kis, PRICE, bearer)
        _, ccnl = await ask(kis, CCNL, bearer)
    assert (price["rt_cd"], price["output"]["acml_vol"]) == ("0", records[-1][16])
    assert price["output"]["bond_prpr"] == records[-1][6]
    assert [(each["cntg_vol"], each["acml_vol"], each["bond_prpr"]) for each in ccnl["output"]] == [
        (each[7], each[16], each[6]) for each in reversed(records[-5:])
    ]


async def test_a_bond_without_trades_has_no_volume():
    """Before the first trade of the day, the volume is 0 and there are no trades."""
    async with Simulator() as kis:
        bearer = await token(kis)
        assert (await ask(kis, PRICE, bearer))[1]["output"]["acml_vol"] == "0"
        assert (await ask(kis, CCNL, bearer))[1]["output"] == []


async def test_an_ended_token_is_refused():
    """A token that ended, and one that was never issued, are refused with codes of their own."""
    async with Simulator() as kis:
        bearer = await token(kis)
        kis.expire_tokens()
        assert await ask(kis, PRICE, bearer) == (
            500,
            {"rt_cd": "1", "msg_cd": "EGW00123", "msg1": "기간이 만료된 token 입니다."},
        )
        assert (await ask(kis, PRICE, "other"))[1]["msg_cd"] == "EGW00121"
        assert [each.code for each in kis.inquiries] == ["EGW00123", "EGW00121"]


async def test_the_rate_is_bounded():
    """A call above the rate is refused as recorded, and the fault refuses every Nth."""
    async with Simulator(quotations_per_second=2) as kis:
        bearer = await token(kis)
        answers = [await ask(kis, PRICE, bearer) for _ in range(3)]
        assert [(status, body.get("msg_cd")) for status, body in answers] == [
            (200, "MCA00000"),
            (200, "MCA00000"),
            (500, "EGW00201"),
        ]
    async with Simulator(faults=["rest-too-fast=2"]) as kis:
        bearer = await token(kis)
        assert [(await ask(kis, PRICE, bearer))[0] for _ in range(4)] == [200, 500, 200, 500]


@pytest.mark.parametrize(
    ("fault", "changed", "status", "code"),
    [
        ("rest-error=MCA00005", {}, 200, "MCA00005"),
        ("extra", {"tr_id": "H0BJCNT0"}, 200, "OPSQ2001"),
        ("extra", {"custtype": "X"}, 200, "OPSQ2001"),
    ],
)
async def test_errors_inside_http_200(fault, changed, status, code):
    """What is not the gateway's refusal comes with HTTP 200, and only rt_cd tells."""
    async with Simulator(faults=[fault]) as kis:
        found, body = await ask(kis, CCNL, await token(kis), **changed)
        assert (found, body["rt_cd"], body["msg_cd"]) == (status, "1", code)


async def test_other_bodies():
    """The calls can answer what KIS's gateway answers under maintenance."""
    async with Simulator(faults=["rest-body=empty"]) as kis:
        bearer = await token(kis)
        assert await ask(kis, PRICE, bearer) == (200, {})
        kis.faults.set("rest-down=503")
        with pytest.raises(json.JSONDecodeError):
            await ask(kis, PRICE, bearer)
