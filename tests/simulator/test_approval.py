"""The approval call."""

import json

import aiohttp
import pytest

from simulator import Simulator
from simulator.app_keys import AppKeys
from simulator.approval import Approvals
from simulator.settings import SimulatorSettings

RIGHT = {"grant_type": "client_credentials", "appkey": "key0", "secretkey": "secret0"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"appkey": None}, "EGW00102"),
        ({"appkey": "other"}, "EGW00103"),
        ({"secretkey": None, "appsecret": "secret0"}, "EGW00104"),
        ({"secretkey": "other"}, "EGW00105"),
        ({"grant_type": None}, "EGW00115"),
        ({"grant_type": "password"}, "EGW00116"),
    ],
)
async def test_refusals(post_json, change, code):
    """Each wrong or misnamed field is refused with its code and HTTP 403."""
    async with Simulator(app_keys=[("key0", "secret0")]) as kis:
        status, text = await post_json(kis.approval_url, RIGHT | change)
        assert (status, json.loads(text)["error_code"]) == (403, code)
        assert [asked.code for asked in kis.approvals] == [code]


async def test_success_is_the_key_alone(post_json):
    """A success holds the approval key and nothing else."""
    async with Simulator(app_keys=[("key0", "secret0")]) as kis:
        status, text = await post_json(kis.approval_url, RIGHT)
        assert (status, list(json.loads(text))) == (200, ["approval_key"])


async def test_one_a_second(post_json):
    """A second key within a second is refused for the same app key, but not for another."""
    async with Simulator() as kis:
        answers = [await post_json(kis.approval_url, RIGHT | {"appkey": key}) for key in ("a", "a", "b")]
        assert [status for status, _ in answers] == [200, 500, 200]
        assert json.loads(answers[1][1])["msg_cd"] == "EGW00201"


async def test_a_body_that_is_no_json(post_json):
    """A body that is not a JSON object is refused like an empty one."""
    async with Simulator() as kis:
        for body in (b"{", b"[]"):
            status, text = await post_json(kis.approval_url, body)
            assert (status, json.loads(text)["error_code"]) == (403, "EGW00102")


@pytest.mark.parametrize(
    ("fault", "status", "part"),
    [
        ("approval-down", 503, "Unavailable"),
        ("approval-error=EGW00304", 403, "EGW00304"),
        ("approval-body=html", 200, "<html>"),
        ("approval-body=empty", 200, "{}"),
        ("approval-body=error", 200, "EGW00103"),
        ("approval-body=huge", 200, "xxx"),
        ("approval-slow=0.01", 200, "approval_key"),
    ],
)
async def test_faults(post_json, fault, status, part):
    """Each fault of the approval call changes the answer as its name says."""
    async with Simulator(faults=[fault]) as kis:
        answer = await post_json(kis.approval_url, RIGHT)
        assert answer[0] == status
        assert part in answer[1]
        assert len(kis.approvals) == 1


async def test_echo(post_json):
    """With the fault echo=approval a refusal quotes app key, secret and the latest approval key."""
    async with Simulator(app_keys=[("key0", "secret0")], faults=["echo=approval"]) as kis:
        key = json.loads((await post_json(kis.approval_url, RIGHT))[1])["approval_key"]
        _, text = await post_json(kis.approval_url, RIGHT | {"appkey": "another"})
        assert all(secret in text for secret in ("another", RIGHT["secretkey"], key))


async def test_a_cut_answer(post_json):
    """The connection can be cut before any answer."""
    async with Simulator(faults=["approval-body=cut"]) as kis:
        with pytest.raises(aiohttp.ClientError):
            await post_json(kis.approval_url, RIGHT)


async def test_an_answer_that_drips():
    """The answer can start and never end."""
    async with (
        Simulator(faults=["approval-body=drip"]) as kis,
        aiohttp.ClientSession() as http,
        http.post(kis.approval_url, json=RIGHT) as response,
    ):
        assert await response.content.readexactly(2) == b"  "
        assert not response.content.at_eof()


def test_keys_expire():
    """An approval key is valid until its hours are over."""
    approvals = Approvals(SimulatorSettings(approval_hours=1), AppKeys([]))
    number, key = approvals.ask(RIGHT, 0.0)
    assert (number, approvals.app_key_of(key, 3599.0), approvals.app_key_of(key, 3600.0)) == (0, 0, None)
