"""Downloading a bond master from good and bad servers on the loopback."""

import asyncio
import gzip
import ssl
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from connector.errors import NotInTime, RequestMalformed
from connector.shell.download import download
from tests.kafka.process import free_ports
from tests.security.certificates import Authority


@asynccontextmanager
async def serving(answer, context=None):
    """Answer every request with `answer(request)`; yield the URL."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(reply, *, hangs):
    """Answer a request with these bytes, then hang or close; yield the URL."""
    ended = asyncio.Event()

    async def accept(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        if hangs:
            await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await asyncio.wait_for(ended.wait(), 30)


def saying(body, status=200, **headers):
    """Return an answer with this body."""

    async def answer(_):
        return web.Response(body=body, status=status, headers=headers)

    return answer


async def test_the_body_is_given_as_it_is():
    """The body arrives unchanged, and the request has the path and query of the URL."""
    asked = []

    async def answer(request):
        asked.append(request.raw_path)
        return web.Response(body=bytes(range(256)) * 1000)

    async with serving(answer) as url:
        assert await download(f"{url}/a/bond_code.mst.zip?b=c") == bytes(range(256)) * 1000
    assert asked == ["/a/bond_code.mst.zip?b=c"]


@pytest.mark.parametrize(
    "text", ["ftp://h/f", "file:///etc/passwd", "http://", "http:///path", "http://[::1", "http://h:99999999/"]
)
async def test_other_urls(text):
    """Only http and https URLs with a host are requested."""
    with pytest.raises(RequestMalformed, match="is neither an http:// or https:// URL with a host nor the path of"):
        await download(text)


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
async def test_hosts_that_cannot_be(host):
    """A host that is not a valid domain name is refused."""
    with pytest.raises(RequestMalformed, match="does not name a host"):
        await download(f"http://{host}/f")


@pytest.mark.parametrize("status", [204, 206, 401, 404, 500])
async def test_other_answers(status):
    """Any answer but 200 is reported with its code."""
    async with serving(saying(b"", status)) as url:
        with pytest.raises(NotInTime, match=f"^{url}/f answered HTTP {status}"):
            await download(f"{url}/f")


async def test_redirects_are_not_followed():
    """A redirect is reported with its target, and not followed."""
    async with serving(saying(b"elsewhere")) as other, serving(saying(b"", 302, Location=other)) as url:
        with pytest.raises(NotInTime, match=f"answered HTTP 302, a redirect to '{other}'"):
            await download(url)


async def test_passwords_are_sent_and_not_shown():
    """User, password and query of a URL are used, and no message contains them."""
    sent = []

    async def answer(request):
        sent.append((request.headers["Authorization"], request.query_string))
        return web.Response(status=403)

    async with serving(answer) as url:
        with pytest.raises(NotInTime) as failed:
            await download(f"{url.replace('://', '://user:canary@')}/f?token=canary")
    assert sent == [("Basic dXNlcjpjYW5hcnk=", "token=canary")]
    assert "canary" not in str(failed.value)


@pytest.mark.parametrize("url", ["http://someone:can/ary@h/", "https:someone:canary@h", "someone:can?ary@h/f"])
async def test_the_password_of_a_malformed_url_is_not_shown(url):
    """A URL that cannot be requested shows nothing of its user either."""
    with pytest.raises(RequestMalformed) as failed:
        await download(url)
    assert not [part for part in ("someone", "can", "ary") if part in str(failed.value)]


@pytest.mark.parametrize("compressed", [False, True])
async def test_the_size_is_bounded(monkeypatch, compressed):
    """A body larger than the limit is refused, even if compression hides its size."""
    monkeypatch.setattr("connector.shell.download.MAX_BYTES", 1 << 20)
    for size, fits in ((1 << 20, True), ((1 << 20) + 1, False)):
        body = gzip.compress(bytes(size)) if compressed else bytes(size)
        async with serving(saying(body, **({"Content-Encoding": "gzip"} if compressed else {}))) as url:
            if fits:
                assert len(await download(url)) == size
            else:
                with pytest.raises(RequestMalformed, match="is larger than 1 MiB"):
                    await download(url)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
async def test_a_server_that_hangs(reply):
    """A silent server, or one that stops halfway, is given up in time."""
    async with asyncio.timeout(30), raw_server(reply, hangs=True) as url:
        with pytest.raises(NotInTime, match=r"did not send its whole answer within 0[.]2 s"):
            await download(url, 0.2)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"220 mail\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ],
)
async def test_a_server_that_speaks_badly(reply):
    """An answer that is not HTTP or breaks off is reported with the URL."""
    async with raw_server(reply, hangs=False) as url:
        with pytest.raises(NotInTime, match=f"{url}.[*]+ could not be read: .") as failed:
            await download(f"{url}?code=canary")
    assert "canary" not in str(failed.value)


async def test_nobody_listens():
    """A refused connection is reported with the URL."""
    [port] = free_ports(1)
    with pytest.raises(
        NotInTime, match=f"^http://127.0.0.1:{port}/ could not be read: Connect call failed [(]'127.0.0.1', {port}[)]$"
    ):
        await download(f"http://127.0.0.1:{port}/")


async def test_a_server_without_tls():
    """A server without TLS is not read through an https URL."""
    async with serving(saying(b"plain")) as url:
        with pytest.raises(NotInTime, match=r"could not be read: [^<]*$"):
            await download(url.replace("http://", "https://"))


async def test_the_certificate_is_verified(tmp_path, monkeypatch):
    """Only a certificate with the right host, a trusted authority and a valid date is accepted."""
    trusted, foreign = Authority(tmp_path), Authority(tmp_path, "foreign authority")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.ca))
    bad = {
        "foreign": foreign.issue("foreign"),
        "elsewhere": trusted.issue("elsewhere", hosts=("127.0.0.2",)),
        "expired": trusted.issue("expired", days=-1),
    }
    for name, certificate in ({"good": trusted.issue("good")} | bad).items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        async with serving(saying(name.encode()), context) as url:
            if name == "good":
                assert await download(url) == b"good"
            else:
                with pytest.raises(
                    NotInTime,
                    match=r"could not be read: .SSL: CERTIFICATE_VERIFY_FAILED. certificate verify failed: [^<]*$",
                ):
                    await download(url)
