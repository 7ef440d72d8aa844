"""Tokens for client credentials, from a provider on a real socket."""

import asyncio
import base64
import contextlib
import gzip
import json
import ssl
import time

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from connector.core.client_assertion import ASSERTION_TYPE, read_key
from connector.core.oauth import basic_credentials
from connector.logs import clean
from connector.settings import KafkaSettings
from connector.shell import client_credentials
from connector.shell.access_token import NoAccessToken
from connector.shell.client_credentials import ClientCredentials
from tests.security.certificates import Authority

SECRET = "canary-secret/+"


class Provider:
    """Answers with a token of 300 s, or with what `answer` holds."""

    def __init__(self, **answer):
        self.requests = []
        self.answer = answer

    async def handle(self, request):
        self.requests.append((dict(request.headers), dict(await request.post())))
        if self.answer:
            return web.Response(**self.answer)
        return web.json_response({"access_token": "canary-token", "token_type": "Bearer", "expires_in": 300})


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


async def test_a_request_holds_what_is_set(secret):
    """Scope, audience and extra parameters are in the form; client and secret are in the header."""
    provider, extra = Provider(), {"resource": "r"}
    async with serving(provider) as url:
        given = settings(url, secret, oauth_scope="s", oauth_audience="a", oauth_extra=extra)
        token = await ClientCredentials(given, "kafka").ask(1000)
    assert (token.text, token.refresh_at, token.ends) == ("canary-token", 1240, 1300)
    ((headers, form),) = provider.requests
    assert form == {"grant_type": "client_credentials", "scope": "s", "audience": "a", "resource": "r"}
    assert headers["Authorization"].startswith("Basic ")
    assert "canary" not in clean(f"{SECRET} {headers['Authorization']} {form}")


async def test_a_client_with_a_key_sends_a_new_proof_each_time(tmp_path):
    """The key is read for each request; the form holds a signed proof, and no secret is sent."""
    provider, authority = Provider(), Authority(tmp_path)
    path = tmp_path / "key.pem"
    async with serving(provider) as url:
        for name in ("first", "second"):
            authority.issue(name).replace(path)
            given = KafkaSettings(oauth_token_url=url, oauth_client_id="bond", oauth_client_key_file=path)
            await ClientCredentials(given, "kafka").ask(1000)
        other = given.model_copy(update={"oauth_assertion_audience": "https://issuer", "oauth_client_key_id": "k"})
        await ClientCredentials(other, "kafka").ask(1000)
    forms = [form for _, form in provider.requests]
    assert not [headers for headers, _ in provider.requests if "Authorization" in headers]
    assert {form["client_assertion_type"] for form in forms} == {ASSERTION_TYPE}
    claims = [claims_of(form["client_assertion"]) for form in forms]
    assert [each["aud"] for each in claims] == [url, url, "https://issuer"]
    assert {(each["iss"], each["sub"]) for each in claims} == {("bond", "bond")}
    assert len({each["jti"] for each in claims}) == 3
    assert all(abs(each["iat"] - time.time()) < 60 for each in claims)
    assert '"kid":"k"' in base64.urlsafe_b64decode(forms[2]["client_assertion"].split(".")[0] + "==").decode()
    assert forms[2]["client_assertion"][-20:] not in clean(f"sent {forms[2]['client_assertion']}")


async def test_a_key_is_checked_once(tmp_path, monkeypatch):
    """To check it takes so long that it is done only if the file holds another one."""
    checked = []
    monkeypatch.setattr(client_credentials, "read_key", lambda pem: checked.append(pem) or read_key(pem))
    authority, path = Authority(tmp_path), tmp_path / "key.pem"
    async with serving(Provider()) as url:
        given = KafkaSettings.model_construct(oauth_token_url=url, oauth_client_id="bond", oauth_client_key_file=path)
        client = ClientCredentials(given, "kafka")
        for name in ("first", "second"):
            authority.issue(name).replace(path)
            for _ in range(2):
                await client.ask(0)
    assert len(checked) == len(set(checked)) == 2


def claims_of(assertion):
    """Return the claims of a JWT."""
    return json.loads(base64.urlsafe_b64decode(assertion.split(".")[1] + "=="))


async def test_a_key_that_cannot_be_used_is_named(tmp_path):
    """A damaged or lost key, and a refusal, name the setting; a key from before is used."""
    path = Authority(tmp_path).issue("client")
    provider = Provider(status=401, text='{"error": "invalid_client"}')
    async with serving(provider) as url:
        given = KafkaSettings(oauth_token_url=url, oauth_client_id="bond", oauth_client_key_file=path)
        with pytest.raises(
            NoAccessToken, match=r"check kafka\.oauth_client_id \(bond\) and kafka\.oauth_client_key_file"
        ):
            await (had_it := ClientCredentials(given, "kafka")).ask(0)
        path.write_text("canary")
        with pytest.raises(
            NoAccessToken, match=r"^OAUTH_FILE: kafka\.oauth_client_key_file: .* \(holds no private key\)"
        ):
            await ClientCredentials(given, "kafka").ask(0)
        path.unlink()
        with pytest.raises(NoAccessToken, match=r"^OAUTH_FILE: kafka\.oauth_client_key_file: .*No such file"):
            await ClientCredentials(given, "kafka").ask(0)
        assert len(provider.requests) == 1
        path.write_text("canary")
        with capture_logs() as logs, pytest.raises(NoAccessToken, match="OAUTH_REFUSED"):
            await had_it.ask(0)
    ((problem,),) = [line["problems"] for line in logs if line["event"] == "credentials_unreadable"]
    assert problem == f"kafka.oauth_client_key_file: {path} could not be used (holds no private key)"
    assert len(provider.requests) == 2


async def refusal(provider, secret):
    """Return the sentence about the provider's answer."""
    async with serving(provider) as url:
        with pytest.raises(NoAccessToken) as refused:
            await ClientCredentials(settings(f"{url}?key=canary-of-the-query", secret), "kafka").ask(0)
    assert len(provider.requests) == 1
    return str(refused.value)


async def test_a_refusal_names_the_settings_to_check(secret):
    """The provider's own words are shown, with the client and where its secret is."""
    said = await refusal(Provider(status=401, text='{"error": "invalid_client"}'), secret)
    assert "HTTP 401 invalid_client: check kafka.oauth_client_id (bond) and kafka.oauth_client_secret_file" in said
    assert said.startswith("OAUTH_REFUSED: the token endpoint http://127.0.0.1:")


BASIC = basic_credentials("bond", SECRET)


@pytest.mark.parametrize(
    "quoted",
    [
        *(f"no {'.' * length} {SECRET}" for length in (0, *range(170, 200))),
        f"Authorization: Basic {BASIC}",
        SECRET.upper(),
        f"the\u0000secret\nis\u202e {SECRET}",
    ],
)
async def test_a_quoted_secret_is_hidden(secret, quoted):
    """A provider that fails and quotes what it was sent, at any place, shows nothing of it."""
    answer = json.dumps({"error": "server_error", "error_description": quoted})
    said = await refusal(Provider(status=500, text=answer), secret)
    assert "HTTP 500 server_error" in said
    assert not [part for part in ("can", "CAN", BASIC[:8], "\x00", "\n", "\u202e") if part in said]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, "HTTP 302 without a JSON object"),
        ({"status": 307, "headers": {"Location": "/token"}, "text": "{}"}, "HTTP 307"),
        ({"text": '{"access_token": "canary\\nX-Forged: 1"}'}, "HTTP 200 without a usable bearer token"),
        ({"text": '{"access_token": "canary-t", "expires_in": -60}'}, "expires_in"),
        ({"text": '{"access_token": "canary-t", "expires_in": 0}'}, "expires_in"),
        ({"text": '{"access_token": ["canary-t"]}'}, "HTTP 200 without a usable bearer token"),
        ({"status": 500, "text": json.dumps({"error": "x" * 60_000})}, "HTTP 500 xxx"),
        ({"body": b"x" * 70_000}, "OAUTH_ANSWER: the token endpoint"),
        (
            {"body": gzip.compress(b" " * 50_000_000), "headers": {"Content-Encoding": "gzip"}},
            "OAUTH_ANSWER: the token endpoint",
        ),
    ],
)
async def test_odd_answers(secret, answer, problem):
    """Each says what came instead of a token, in bounded words; no redirect is followed."""
    said = await refusal(Provider(**answer), secret)
    assert problem in said
    assert "canary" not in said
    assert len(said) < 500


@pytest.mark.parametrize(
    ("tls", "remedy"), [(False, "use https:// if it speaks TLS"), (True, "correct kafka.oauth_token_url")]
)
async def test_an_endpoint_that_speaks_no_http(secret, tmp_path, tls, remedy):
    """The sentence names the address and what to check, and nothing of the URL's query."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    authority, context = Authority(tmp_path), None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority.issue("provider"))
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        at = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        shown = f"http{'s' * tls}://{at}/token"
        given = settings(f"{shown}?key=canary-of-the-query", secret, oauth_ca_file=authority.ca)
        with pytest.raises(NoAccessToken) as refused:
            await ClientCredentials(given, "kafka").ask(0)
    cause = f"{at} did not answer in HTTP: {remedy}"
    assert str(refused.value) == f"OAUTH_UNREACHABLE: no access token from {shown}?********: {cause}"


@pytest.mark.parametrize(
    ("status", "text", "remedy"),
    [
        (400, '{"error": "unauthorized_client"}', "check kafka.oauth_client_id (bond) and"),
        (403, "<html>", "check kafka.oauth_client_id (bond) and"),
        (400, '{"error": "invalid_scope"}', "check kafka.oauth_scope"),
        (302, "", "correct kafka.oauth_token_url; no redirect is followed"),
        (404, '{"error": "Realm does not exist"}', "correct kafka.oauth_token_url"),
        (200, "<html>sign in</html>", "correct kafka.oauth_token_url"),
        (500, "<html>", "the provider has to be mended"),
        (429, '{"error": "slow_down"}', "the provider has to be mended"),
        (503, "upstream", "the provider has to be mended"),
    ],
)
async def test_the_remedy_fits_the_answer(secret, status, text, remedy):
    """Nobody is sent to look at a secret while the address is wrong or the provider fails."""
    said = await refusal(Provider(status=status, text=text), secret)
    assert f": {remedy}" in said
    assert ("oauth_client_secret_file" in said) == ("oauth_client_id" in remedy)


async def test_an_answer_without_a_life(secret):
    """A token whose answer names no end is used for five minutes."""
    async with serving(Provider(text='{"access_token": "t"}')) as url:
        assert (await ClientCredentials(settings(url, secret), "kafka").ask(0)).ends == 300


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
async def test_a_slow_provider(secret, drip):
    """A provider that says nothing, or a byte now and then, is given up in time."""

    async def answer(_reader, writer):
        writer.write(drip)
        with contextlib.suppress(ConnectionError):
            while drip:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        held.append(writer)

    held = []
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    started_at = time.monotonic()
    with pytest.raises(NoAccessToken, match=r"OAUTH_TIMEOUT: .* did not answer in 0\.2 s"):
        await ClientCredentials(settings(url, secret), "kafka", timeout_seconds=0.2).ask(0)
    assert time.monotonic() - started_at < 20
    server.close()
    await wait_until(lambda: not drip or held)
    for writer in held:
        writer.close()


async def wait_until(condition):
    """Wait until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_providers_certificate_is_checked(tmp_path, secret):
    """The authority of `oauth_ca_file` is trusted; without it the certificate is refused."""
    authority = Authority(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority.issue("provider"))
    async with serving(Provider(), tls) as url:
        assert await ClientCredentials(settings(url, secret, oauth_ca_file=authority.ca), "kafka").ask(0)
        with pytest.raises(NoAccessToken, match=r"kafka\.oauth_ca_file"):
            await ClientCredentials(settings(url, secret), "kafka").ask(0)


async def test_authorities_with_words_between_the_certificates(tmp_path, secret):
    """A note in any script is passed over, in UTF-8 as in EUC-KR."""
    authority = Authority(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority.issue("provider"))
    certificates, notes = authority.ca.read_bytes(), tmp_path / "notes.pem"
    async with serving(Provider(), tls) as url:
        for encoding in ("utf-8", "euc-kr"):
            notes.write_bytes("# 사내 인증기관\n".encode(encoding) + certificates)
            assert await ClientCredentials(settings(url, secret, oauth_ca_file=notes), "kafka").ask(0)


async def test_spoilt_authorities(tmp_path, secret, monkeypatch):
    """The authorities from before are trusted; without them nobody is, not even the system's."""
    authority = Authority(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority.issue("provider"))
    of_system = tmp_path / "system.pem"
    of_system.write_bytes(authority.ca.read_bytes())
    async with serving(Provider(), tls) as url:
        given = settings(url, secret, oauth_ca_file=authority.ca)
        client = ClientCredentials(given, "kafka")
        await client.ask(0)
        monkeypatch.setenv("SSL_CERT_FILE", str(of_system))
        for content in (b"", b"\n", b"canary"):
            authority.ca.write_bytes(content)
            assert await client.ask(0)
            with pytest.raises(NoAccessToken, match=r"^OAUTH_FILE: kafka\.oauth_ca_file: "):
                await ClientCredentials(given, "kafka").ask(0)
        authority.ca.unlink()
        with capture_logs() as logs:
            assert await client.ask(0)
    assert [(line["event"], line["problems"]) for line in logs] == [
        (
            "credentials_unreadable",
            [f"kafka.oauth_ca_file: {authority.ca} holds no certificate that can be read"],
        )
    ]


async def test_unreadable_files(tmp_path, secret):
    """A secret that was never there, and a file without certificates, are named and not shown."""
    client = settings("https://127.0.0.1:1/token", secret, oauth_ca_file=secret)
    with pytest.raises(NoAccessToken, match=r"^OAUTH_FILE: kafka\.oauth_ca_file: .*secret") as refused:
        await ClientCredentials(client, "kafka").ask(0)
    assert SECRET not in str(refused.value)
    gone = tmp_path / "gone"
    gone.write_text("for the settings")
    client = settings("https://127.0.0.1:1/token", gone)
    gone.unlink()
    with pytest.raises(NoAccessToken, match=r"^OAUTH_FILE: kafka\.oauth_client_secret_file: .*gone could not be read"):
        await ClientCredentials(client, "kafka").ask(0)


async def test_a_secret_that_vanished_is_remembered(secret):
    """A new token is asked for with the secret from before."""
    provider = Provider()
    async with serving(provider) as url:
        client = ClientCredentials(settings(url, secret), "kafka")
        await client.ask(0)
        secret.unlink()
        await client.ask(0)
    assert len({headers["Authorization"] for headers, _ in provider.requests}) == 1
