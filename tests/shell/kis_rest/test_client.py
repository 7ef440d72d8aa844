"""The REST calls against the simulator, with what may go wrong."""

import time

import pytest

from connector.core.kis.quotations import Failed
from connector.logs import clean
from connector.settings import AuditSettings
from connector.shell.kis.credentials import AppKey
from connector.shell.kis_rest import RestClient, TokenFile
from simulator import Simulator

ISIN = "KR103502GA34"


def client_of(kis, folder, **changed):
    """Return a client of the simulator with a token file in the folder."""
    given = {"per_second": 18.0, "timeout_seconds": 30.0} | changed
    audit = AuditSettings(
        rest_url=kis.rest_url, rest_per_second=given["per_second"], token_path=folder / "kept" / "token.json"
    )
    return RestClient(audit, "P", lambda: AppKey("key0", "secret0"), given["timeout_seconds"])


@pytest.fixture
async def kis():
    """Run a simulator in which one bond traded three times, though no session heard it."""
    async with Simulator(quotations_per_second=0, ccnl_depth=2) as simulator:
        for _ in range(3):
            simulator._feed.trade([ISIN])
        yield simulator


async def test_volume_and_trades(kis, tmp_path):
    """The volume is the market's, and the trades are the latest ones, newest first."""
    client = client_of(kis, tmp_path)
    assert await client.volume(ISIN) == kis.accumulated(ISIN)
    trades = await client.trades(ISIN)
    assert [trade.accumulated_volume for trade in trades] == [
        kis.accumulated(ISIN),
        kis.accumulated(ISIN) - trades[0].volume,
    ]
    assert (client.calls, client.problem) == ({"ok": 2}, None)


async def test_one_token_over_restarts(kis, tmp_path):
    """The token is kept in a private file, and the next process uses it; no log shows it."""
    assert await client_of(kis, tmp_path).volume(ISIN)
    path = tmp_path / "kept" / "token.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert await client_of(kis, tmp_path).volume(ISIN)
    assert kis.tokens_issued == 1
    token = TokenFile(path).read()
    assert token.text not in clean(f"the token is {token.text}")
    assert token.text not in repr(token)


async def test_a_file_that_others_can_read_is_not_used(kis, tmp_path):
    """A token file with wrong permissions is not trusted; a new token is asked for."""
    await client_of(kis, tmp_path).volume(ISIN)
    path = tmp_path / "kept" / "token.json"
    path.chmod(0o644)
    assert TokenFile(path).read() is None


async def test_an_ended_token_is_replaced_once_a_minute(kis, tmp_path):
    """After KIS ended the token, the client waits for the minute between two token calls."""
    client = client_of(kis, tmp_path)
    assert await client.volume(ISIN)
    kis.expire_tokens()
    answer = await client.volume(ISIN)
    assert isinstance(answer, Failed)
    assert answer.message.startswith("REST_TOKEN: KIS gives one access token a minute")
    client._token_asked_at -= 61
    assert await client.volume(ISIN) == kis.accumulated(ISIN)
    assert kis.tokens_issued == 2


async def test_too_fast_waits_and_asks_again(kis, tmp_path):
    """A call that came too fast is repeated a second later."""
    kis.faults.set("rest-too-fast=2")
    client = client_of(kis, tmp_path)
    assert await client.volume(ISIN)
    before = time.monotonic()
    assert await client.volume(ISIN) == kis.accumulated(ISIN)
    assert time.monotonic() - before >= 1
    assert client.calls == {"ok": 2, "EGW00201": 1}


async def test_calls_are_paced(kis, tmp_path):
    """Calls follow each other at the rate of the setting, however many ask at once."""
    client = client_of(kis, tmp_path, per_second=10.0)
    before = time.monotonic()
    for _ in range(4):
        await client.volume(ISIN)
    assert time.monotonic() - before >= 0.29


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("rest-error=MCA00005", "MCA00005", "조회할 자료가 없습니다."),
        ("rest-down=503", None, "REST_ANSWER: KIS answered HTTP 503 without a JSON object"),
        ("rest-body=html", None, "REST_ANSWER: KIS answered HTTP 200 without a JSON object"),
        ("rest-body=empty", None, "REST_ANSWER: KIS answered HTTP 200 without a result or a code"),
        ("rest-body=huge", None, "REST_ANSWER: KIS answered HTTP 200 with more than 524288 bytes"),
        ("rest-body=drip", None, "REST_TIMEOUT: KIS did not answer within 3 s"),
        ("rest-body=cut", None, "REST_UNREACHABLE: KIS's REST calls were out of reach"),
    ],
)
async def test_what_is_no_answer(kis, tmp_path, fault, code, message):
    """Each way in which KIS does not answer is told in one sentence, and the client goes on."""
    client = client_of(kis, tmp_path, timeout_seconds=3.0)
    kis.faults.set(fault)
    answer = await client.trades(ISIN)
    assert isinstance(answer, Failed)
    assert (answer.code, answer.message[: len(message)]) == (code, message)
    assert client.problem == answer.message
    kis.faults.clear()
    assert len(await client.trades(ISIN)) == 2
    assert client.problem is None


async def test_out_of_reach(tmp_path):
    """A server that is not there is named with the setting to look at."""
    async with Simulator() as kis:
        client = client_of(kis, tmp_path)
    answer = await client.volume(ISIN)
    assert "REST_UNREACHABLE" in answer.message
