"""The call for an access token."""

import json
from types import SimpleNamespace

import pytest

from simulator import Simulator, SimulatorSettings
from simulator.app_keys import AppKeys
from simulator.token import TokenCall

RIGHT = {"grant_type": "client_credentials", "appkey": "key0", "appsecret": "secret0"}


class Clock:
    """A token call on a clock of the test's own."""

    def __init__(self):
        self.now = 1_700_000_000.0
        self._call = TokenCall(SimulatorSettings(), AppKeys([("key0", "secret0")]), lambda: self.now)

    async def ask(self, fields=RIGHT):
        async def read():
            return json.dumps(fields).encode()

        response = await self._call.handle(SimpleNamespace(read=read))
        return response.status, json.loads(response.text)


async def test_one_token_for_six_hours():
    """The same token comes back for six hours, and then a new one; each lives for a day."""
    clock = Clock()
    _, first = await clock.ask()
    assert first["expires_in"] == 86_400
    assert (first["token_type"], first["access_token_token_expired"]) == ("Bearer", "2023-11-16 07:13:20")
    clock.now += 6 * 3600 - 1
    _, same = await clock.ask()
    assert (same["access_token"], same["expires_in"]) == (first["access_token"], 18 * 3600 + 1)
    clock.now += 60
    _, new = await clock.ask()
    assert new["access_token"] != first["access_token"]


async def test_one_call_a_minute():
    """A second call within a minute is refused as recorded."""
    clock = Clock()
    await clock.ask()
    clock.now += 59
    status, body = await clock.ask()
    assert (status, body["error_code"]) == (403, "EGW00133")
    clock.now += 1
    assert (await clock.ask())[0] == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"appsecret": None, "secretkey": "secret0"}, "EGW00104"),
        ({"appkey": "other"}, "EGW00103"),
        ({"appsecret": "other"}, "EGW00105"),
    ],
)
async def test_refusals(change, code):
    """This call names the secret `appsecret`; a wrong pair is refused."""
    status, body = await Clock().ask(RIGHT | change)
    assert (status, body["error_code"]) == (403, code)


async def test_the_call_is_served(post_json):
    """The path is that of KIS, beside the approval call."""
    async with Simulator() as kis:
        status, text = await post_json(kis.approval_url.replace("Approval", "tokenP"), RIGHT)
        assert status == 200
        assert json.loads(text)["access_token"]
