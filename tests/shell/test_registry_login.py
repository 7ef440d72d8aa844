"""Each login at a registry on a real socket, and several registries."""

import contextlib
import ssl

import pytest
from aiohttp import web

from connector.logs import clean
from connector.settings import RegistrySettings
from connector.shell import registry_http
from connector.shell.registry_http import RegistryFailed, ask
from connector.shell.registry_login import authorization, files_of
from tests.kafka.process import free_ports
from tests.security.certificates import Authority


class Registry:
    """Answers any request with its status, and keeps path and login of each."""

    def __init__(self, status=200):
        self.status = status
        self.seen = []

    async def handle(self, request):
        self.seen.append((request.path, request.headers.get("Authorization")))
        return web.json_response({"id": 7}, status=self.status)


@contextlib.asynccontextmanager
async def serving(*registries, tls=None):
    """Give the addresses of the registries."""
    runners, urls = [], []
    for each in registries:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", each.handle)
        runners.append(runner := web.AppRunner(application))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        urls.append(f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}")
    try:
        yield urls
    finally:
        for runner in runners:
            await runner.cleanup()


async def test_a_token_from_a_file(tmp_path):
    """The token is read for each request, sent as a bearer token, and hidden."""
    path, server = tmp_path / "token", Registry()
    path.write_text("canary-zero")
    async with serving(server) as (url,):
        settings = RegistrySettings(url=f"{url}/apis/ccompat/v7/", token_file=path)
        for token in ("canary-one", "canary-two"):
            path.write_text(f"{token}\n")
            assert (await ask(settings, "GET", "/subjects")).status == 200
        path.unlink()
        await ask(settings, "GET", "/subjects")
    assert server.seen == [("/apis/ccompat/v7/subjects", f"Bearer canary-{which}") for which in ("one", "two", "two")]
    assert "canary" not in clean("canary-one canary-two")


async def test_a_token_file_that_could_never_be_read(tmp_path):
    """The failure names the file."""
    path = tmp_path / "gone"
    path.write_text("for the settings")
    settings = RegistrySettings(url="http://127.0.0.1:1", token_file=path)
    path.unlink()
    with pytest.raises(RegistryFailed, match=f"REG_FILE: {path} could not be read"):
        await ask(settings, "GET", "/subjects")


async def test_a_token_from_a_provider(tmp_path):
    """The registry gets the provider's token; without one the failure says so."""
    (tmp_path / "secret").write_text("s")

    class Provider(Registry):
        async def handle(self, request):
            return web.json_response({"access_token": "canary-issued", "expires_in": 300})

    server = Registry()
    async with serving(server, Provider()) as (url, provider):
        given = {"oauth_client_id": "bond", "oauth_client_secret_file": tmp_path / "secret", "url": url}
        settings = RegistrySettings(oauth_token_url=f"{provider}/token", **given)
        await ask(settings, "GET", "/subjects")
        assert server.seen == [("/subjects", "Bearer canary-issued")]
        (port,) = free_ports(1)
        absent = RegistrySettings(oauth_token_url=f"http://127.0.0.1:{port}/token", **given)
        with pytest.raises(RegistryFailed, match=r"REG_TOKEN: .*OAUTH_UNREACHABLE"):
            await ask(absent, "GET", "/subjects")


def asks_for_a_certificate(authority):
    """Return the TLS of a registry that takes only clients of this authority."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca)
    tls.load_cert_chain(authority.issue("registry"))
    tls.verify_mode = ssl.CERT_REQUIRED
    return tls


async def test_a_client_certificate(tmp_path):
    """A registry that asks for a certificate gets ours; without one it refuses us."""
    authority = Authority(tmp_path)
    pair = authority.issue("client")
    async with serving(Registry(), tls=asks_for_a_certificate(authority)) as (url,):
        shown = RegistrySettings(url=url, ca_file=authority.ca, certificate_file=pair, key_file=pair)
        assert (await ask(shown, "GET", "/subjects")).status == 200
        with pytest.raises(RegistryFailed, match="REG_UNREACHABLE"):
            await ask(RegistrySettings(url=url, ca_file=authority.ca), "GET", "/subjects")
    assert files_of(shown) == [authority.ca, pair, pair]


@pytest.mark.parametrize("spoilt", [None, b"", b"canary"], ids=["lost", "empty", "other"])
@pytest.mark.parametrize("which", ["ca.pem", "client.pem"])
async def test_certificates_that_were_spoilt(tmp_path, which, spoilt):
    """What the files held before is used; files that were never usable are named and not shown."""
    authority = Authority(tmp_path)
    pair = authority.issue("client")
    async with serving(Registry(), tls=asks_for_a_certificate(authority)) as (url,):
        given = {"url": url, "certificate_file": pair, "key_file": pair}
        settings = RegistrySettings(ca_file=authority.ca, **given)
        assert (await ask(settings, "GET", "/subjects")).status == 200
        path = {"ca.pem": authority.ca, "client.pem": pair}[which]
        path.unlink() if spoilt is None else path.write_bytes(spoilt)
        assert (await ask(settings, "GET", "/subjects")).status == 200
        (tmp_path / "folder").mkdir()
        never = settings.model_copy(update={"ca_file": tmp_path / "folder"})
        with pytest.raises(RegistryFailed, match="REG_FILE") as failed:
            await ask(never, "GET", "/subjects")
    assert "canary" not in str(failed.value)


async def test_the_next_registry_answers_for_one_that_cannot():
    """One that is down or says 503 is passed over; the one that answered is asked first."""
    (down,) = free_ports(1)
    ill, well = Registry(503), Registry()
    async with serving(ill, well) as urls:
        settings = RegistrySettings(url=",".join([f"http://127.0.0.1:{down}", *urls]))
        assert (await ask(settings, "GET", "/subjects")).status == 200
        assert (await ask(settings, "GET", "/subjects")).status == 200
        assert (len(ill.seen), len(well.seen)) == (1, 2)
        well.status = 503
        assert (await ask(settings, "GET", "/subjects")).status == 503
        well.status = 404
        assert (await ask(settings, "GET", "/subjects")).status == 404
    with pytest.raises(RegistryFailed, match=f"REG_UNREACHABLE: .*{down}.*; REG_UNREACHABLE"):
        await ask(settings, "GET", "/subjects")
    registry_http._answered.clear()


async def test_no_login():
    """Without a login no header is sent."""
    assert await authorization(RegistrySettings(url="http://h")) == {}
