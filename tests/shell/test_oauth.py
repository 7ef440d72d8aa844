"""Access tokens from a provider on a real socket."""

import asyncio
import contextlib
import ssl

import pytest
from aiohttp import web

from connector.logs import clean
from connector.settings import KafkaSettings
from connector.shell import oauth
from connector.shell.oauth import NoAccessToken, TokenSource, source_of
from tests.security.certificates import Authority

SECRET = "canary-secret/+"


class Provider:
    """Answers with tokens t0, t1, …, or with what `answer` holds."""

    def __init__(self):
        self.requests = []
        self.life = 300
        self.answer = None

    async def handle(self, request):
        self.requests.append((dict(request.headers), dict(await request.post())))
        if self.answer:
            return web.Response(**self.answer)
        return web.json_response(
            {"access_token": f"canary-token-{len(self.requests)}", "token_type": "Bearer", "expires_in": self.life}
        )


@contextlib.asynccontextmanager
async def serving(provider, tls=None):
    """Give the provider's address."""
    app = web.Application()
    app.router.add_post("/token", provider.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}/token"
    finally:
        await runner.cleanup()


@pytest.fixture
def secret(tmp_path):
    """Give the path of the client's secret."""
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


def settings(url, secret, **more):
    """Return the settings of a client."""
    return KafkaSettings(oauth_token_url=url, oauth_client_id="bond", oauth_client_secret_file=secret, **more)


@pytest.fixture
def clock(monkeypatch):
    """Give a clock that stands still until it is set forward."""
    now = [1000.0]
    monkeypatch.setattr(oauth.time, "monotonic", lambda: now[0])
    return now


async def test_a_token_is_kept_until_four_fifths_of_its_life(secret, clock):
    """Within 80 % of its life a token is asked for once, by many at a time; then it is replaced."""
    provider = Provider()
    async with serving(provider) as url:
        source = TokenSource(settings(url, secret, oauth_scope="s", oauth_extra={"resource": "r"}), "kafka")
        assert set(await asyncio.gather(*(source.token() for _ in range(5)))) == {"canary-token-1"}
        clock[0] += 0.79 * provider.life
        assert await source.token() == "canary-token-1"
        clock[0] += 0.02 * provider.life
        assert await source.token() == "canary-token-2"
    headers, form = provider.requests[0]
    assert headers["Authorization"].startswith("Basic ")
    assert form == {"grant_type": "client_credentials", "scope": "s", "resource": "r"}
    assert "canary" not in clean(f"{SECRET} {headers['Authorization']} canary-token-2 {form}")


async def test_a_provider_that_is_away_costs_nothing_until_the_tokens_end(secret, clock):
    """The old token is used to its end; after that the failure names the endpoint."""
    provider = Provider()
    async with serving(provider) as url:
        source = TokenSource(settings(url, secret), "kafka")
        await source.token()
    clock[0] += 0.9 * provider.life
    assert await source.token() == "canary-token-1"
    clock[0] += 0.1 * provider.life
    with pytest.raises(NoAccessToken, match=r"OAUTH_UNREACHABLE: .*127\.0\.0\.1:\d+ refused the connection"):
        await source.token()


async def test_after_a_failure_the_provider_is_left_alone_for_a_moment(secret, clock):
    """Many clients that need a token do not ask again at once."""
    provider = Provider()
    provider.answer = {"status": 401, "text": '{"error": "invalid_client"}'}
    async with serving(provider) as url:
        source = TokenSource(settings(url, secret), "kafka")
        for _ in range(3):
            with pytest.raises(NoAccessToken, match=r"HTTP 401 invalid_client: check kafka\.oauth_client_id \(bond\)"):
                await source.token()
        assert len(provider.requests) == 1
        provider.answer = None
        clock[0] += oauth.RETRY_SECONDS
        assert await source.token() == "canary-token-2"


async def test_a_refused_token_is_replaced_unless_it_is_new(secret, clock):
    """After a change of keys brokers refuse old tokens; a new one that is refused is kept."""
    provider = Provider()
    async with serving(provider) as url:
        source = TokenSource(settings(url, secret), "kafka")
        await source.token()
        source.forget()
        assert await source.token() == "canary-token-1"
        clock[0] += oauth.KEEP_REFUSED_SECONDS
        source.forget()
        assert await source.token() == "canary-token-2"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"body": b"x" * 70_000}, "OAUTH_ANSWER"),
        ({"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, "HTTP 302 without a JSON object"),
    ],
)
async def test_odd_answers(secret, answer, problem):
    """A redirect is not followed, and an answer without end is not read to its end."""
    provider = Provider()
    provider.answer = answer
    async with serving(provider) as url:
        with pytest.raises(NoAccessToken, match=problem):
            await TokenSource(settings(url, secret), "kafka").token()
    assert len(provider.requests) == 1


async def test_a_silent_provider(secret):
    """A provider that never answers is given up."""

    async def hold(_reader, writer):
        held.append(writer)

    held = []
    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    with pytest.raises(NoAccessToken, match=r"OAUTH_TIMEOUT: .* did not answer in 0\.2 s"):
        await TokenSource(settings(url, secret), "kafka", timeout_seconds=0.2).token()
    for writer in held:
        writer.close()
    server.close()
    await server.wait_closed()


async def test_the_providers_certificate_is_checked(tmp_path, secret):
    """The authority of `oauth_ca_file` is trusted; without it the certificate is refused."""
    authority = Authority(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority.issue("provider"))
    async with serving(Provider(), tls) as url:
        assert await TokenSource(settings(url, secret, oauth_ca_file=authority.ca), "kafka").token()
        with pytest.raises(NoAccessToken, match=r"kafka\.oauth_ca_file"):
            await TokenSource(settings(url, secret), "kafka").token()


async def test_unreadable_files(tmp_path, secret):
    """A secret that vanished, and a file without certificates, are named and not shown."""
    client = settings("https://127.0.0.1:1/token", secret, oauth_ca_file=secret)
    with pytest.raises(NoAccessToken, match=r"kafka\.oauth_ca_file: .*secret") as refused:
        await TokenSource(client, "kafka").token()
    assert SECRET not in str(refused.value)
    secret.unlink()
    with pytest.raises(NoAccessToken, match=r"kafka\.oauth_client_secret_file: .*secret could not be read"):
        await TokenSource(client, "kafka").token()


def test_clients_that_log_in_alike_share_a_source(secret):
    """The same settings give the same source; another scope gives another one."""
    first = source_of(settings("https://h/token", secret), "kafka")
    assert source_of(settings("https://h/token", secret, client_id="other"), "kafka") is first
    assert source_of(settings("https://h/token", secret, oauth_scope="s"), "kafka") is not first
