"""One request to the first of several registries that answers, whatever the others do."""

import asyncio
import contextlib
import gzip
import json

import pytest
from aiohttp import web

from connector.settings import RegistrySettings
from connector.shell import access_token, registry_http
from connector.shell.registry_http import Answer, RegistryFailed, ask, content_of, shown


@contextlib.asynccontextmanager
async def serving(*handlers):
    """Give the addresses of servers, one for each handler of a request."""
    runners = []
    for handler in handlers:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runners.append(runner := web.AppRunner(application, shutdown_timeout=0.1))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield [f"http://127.0.0.1:{runner.addresses[0][1]}" for runner in runners]
    finally:
        for runner in runners:
            await runner.cleanup()


def always(*, status=200, text=None, body=None, headers=None):
    """Return a handler that always answers so."""

    async def handle(_):
        return web.Response(status=status, text=text, body=body, headers=headers)

    return handle


async def good(_):
    """Answer as a registry does."""
    return web.json_response({"id": 7})


BOMB = gzip.compress(b" " * 50_000_000)
UNFIT = {
    "a page": always(text="<html>log in</html>"),
    "a redirect": always(status=302, headers={"Location": "/login"}),
    "a list": always(text="[7]"),
    "nothing": always(status=404),
    "two mebibytes": always(text=" " * 2**21),
    "a bomb": always(body=BOMB, headers={"Content-Encoding": "gzip"}),
    "not gzip": always(body=b"x", headers={"Content-Encoding": "gzip"}),
    "a long header": always(headers={"X-Long": "x" * 100_000}),
    **{f"HTTP {status}": always(status=status, text="{}") for status in (408, 425, 429, 500, 503, 520, 599)},
}


@pytest.mark.parametrize("name", UNFIT)
async def test_what_is_no_answer_of_a_registry_is_passed_over(name):
    """A page, a redirect, too much, a failure of any kind: the next registry is asked."""
    async with serving(UNFIT[name], good) as urls:
        settings = RegistrySettings(url=",".join(urls))
        assert await ask(settings, "GET", "/schemas/ids/7") == Answer(urls[1], 200, {"id": 7})
        alone = RegistrySettings(url=urls[0])
        with pytest.raises(RegistryFailed) as failed:
            content_of(await ask(alone, "GET", "/schemas/ids/7"), "id 7")
    assert len(str(failed.value)) < 700


async def test_a_registry_that_says_no_is_believed():
    """A refusal is an answer: the next registry is not asked."""
    asked = []

    async def other(request):
        asked.append(request.path)
        return web.json_response({"id": 7})

    async with serving(always(status=404, text='{"error_code": 40403}'), other) as urls:
        answer = await ask(RegistrySettings(url=",".join(urls)), "GET", "/schemas/ids/7")
    assert answer.is_not_there
    assert not asked


@pytest.mark.parametrize("code", [[40401], {"a": 1}, None, "40401", True, 1e400, 40400])
async def test_an_odd_code_is_no_word_about_the_schema(code):
    """Only the API's own codes say that a schema is not there."""
    async with serving(always(status=404, text=json.dumps({"error_code": code}))) as (url,):
        answer = await ask(RegistrySettings(url=url), "GET", "/schemas/ids/7")
    assert not answer.is_not_there
    with pytest.raises(RegistryFailed, match="REG_PATH"):
        content_of(answer, "id 7")


@pytest.fixture
def token_login(tmp_path):
    """Give the settings of a login with tokens, as a function of the two URLs."""
    (tmp_path / "secret").write_text("s")

    def settings(url, provider):
        return RegistrySettings(
            url=url,
            oauth_token_url=f"{provider}/token",
            oauth_client_id="bond",
            oauth_client_secret_file=tmp_path / "secret",
        )

    return settings


class Provider:
    """Issues token-1, token-2 and so on."""

    def __init__(self):
        self.issued = 0

    async def handle(self, _):
        self.issued += 1
        return web.json_response({"access_token": f"token-{self.issued}", "expires_in": 300})


async def test_a_token_that_ended_on_its_way_is_replaced_at_once(token_login, monkeypatch):
    """A refused token that is not new is replaced, and the same request is sent once more."""
    monkeypatch.setattr(access_token, "KEEP_REFUSED_SECONDS", 0)
    provider, seen = Provider(), []

    async def handle(request):
        seen.append(request.headers["Authorization"])
        return web.json_response({"id": 7}, status=401 if seen[-1] == "Bearer token-1" else 200)

    async with serving(handle, provider.handle) as (url, tokens):
        assert (await ask(token_login(url, tokens), "POST", "/subjects/s", {"schema": "{}"})).status == 200
    assert seen == ["Bearer token-1", "Bearer token-2"]


async def test_a_new_token_that_is_refused_is_not_tried_again(token_login):
    """A registry that refuses a new token is asked once, and so is the provider."""
    provider, asked = Provider(), []

    async def handle(request):
        asked.append(request.path)
        return web.json_response({"error_code": 401}, status=401)

    async with serving(handle, provider.handle) as (url, tokens):
        with pytest.raises(RegistryFailed, match="REG_REFUSED"):
            content_of(await ask(token_login(url, tokens), "GET", "/config"), "s")
    assert (len(asked), provider.issued) == (1, 1)


async def test_an_answer_that_never_ends_is_given_up(monkeypatch):
    """A registry that sends a byte now and then costs no more than the time limit."""
    monkeypatch.setattr(registry_http, "TIMEOUT_SECONDS", 0.3)

    async def drip(request):
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.02)

    async with serving(drip, good) as urls:
        assert (await ask(RegistrySettings(url=",".join(urls)), "GET", "/config")).content == {"id": 7}
        async with asyncio.timeout(20):
            with pytest.raises(RegistryFailed, match=r"REG_TIMEOUT: .* did not answer in 0\.3 s"):
                await ask(RegistrySettings(url=urls[0]), "GET", "/config")


def test_a_text_is_one_bounded_line():
    """What a registry says is shown in one line, cut at its bound."""
    assert "\n" not in shown("a\nb")
    assert len(shown("x " * 5_000)) < 400
