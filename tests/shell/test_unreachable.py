"""Why a server could not be reached: the WebSocket and the approval call name address and cause."""

import asyncio
import ssl

import pytest
from websockets.exceptions import WebSocketException

from connector.shell.kis.approval import ApprovalService
from connector.shell.kis.credentials import AppKey
from connector.shell.kis.socket import open_socket, why_not_open
from tests.kafka.process import free_ports
from tests.security.certificates import Authority

PREFIXES = {
    "ws": "The WebSocket could not be opened: ",
    "http": "CRED_APPROVAL: the approval service was out of reach: ",
}


async def said(protocol, url):
    """Return what we say about this address, without the words before the cause."""
    if protocol == "http":
        message = (await ApprovalService(url).request(AppKey("key", "secret"))).message
    else:
        with pytest.raises((OSError, WebSocketException)) as caught:
            await open_socket(url)
        code, message = await why_not_open(caught.value, url)
        assert code is None
    assert message.startswith(PREFIXES[protocol])
    return message.removeprefix(PREFIXES[protocol])


async def serve(certificate=None, answer=b"HTTP/1.1 400 Bad\r\n\r\n"):
    """Start a server, with TLS if it has a certificate, that gives this answer."""

    async def handle(reader, writer):
        await reader.read(10)
        writer.write(answer)
        writer.close()

    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("protocol", ["ws", "http"])
async def test_an_untrusted_certificate_is_named(protocol, tmp_path):
    """The sentence names the address, the certificate's signer and who does not trust it."""
    server, at = await serve(Authority(tmp_path).issue("kis"))
    async with server:
        text = await said(protocol, f"{protocol}s://{at}/")
    assert text.startswith(
        f"the certificate of {at} (for 127.0.0.1) is signed by CN=test authority, which this machine"
    )


@pytest.mark.parametrize(("protocol", "setting"), [("ws", "kis.websocket_url"), ("http", "kis.approval_url")])
async def test_tls_at_a_plain_port(protocol, setting):
    """A server without TLS is named, with the scheme to use."""
    server, at = await serve()
    async with server:
        text = await said(protocol, f"{protocol}s://{at}/")
    assert text == f"{at} does not speak TLS: use {protocol}:// or its TLS port in {setting}"


@pytest.mark.parametrize("protocol", ["ws", "http"])
async def test_no_tls_at_a_tls_port(protocol, tmp_path):
    """A server that speaks TLS alone is named, with the scheme to use."""
    server, at = await serve(Authority(tmp_path).issue("kis"))
    async with server:
        text = await said(protocol, f"{protocol}://{at}/")
    assert text in {
        f"{at} {what}: use {protocol}s:// if it speaks TLS"
        for what in ("did not answer in HTTP", "closed the connection")
    }


@pytest.mark.parametrize(
    ("scheme", "remedy"),
    [
        ("http", "use https:// if it speaks TLS"),
        ("ws", "use wss:// if it speaks TLS"),
        ("wss", "correct kis.websocket_url"),
    ],
)
async def test_another_protocol_than_http(scheme, remedy, tmp_path, monkeypatch):
    """The sentence names the address and what to check, and nothing of the URL's query."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    certificate = authority.issue("kis") if scheme == "wss" else None
    server, at = await serve(certificate, b"220 mail.example ESMTP\r\n\r\n")
    async with server:
        text = await said({"wss": "ws"}.get(scheme, scheme), f"{scheme}://{at}/?code=canary")
    assert text == f"{at} did not answer in HTTP: {remedy}"


async def test_a_url_that_the_websocket_does_not_take():
    """The sentence names the setting and the mistake, and nothing of the URL's query."""
    text = await said("ws", "ws://127.0.0.1:1/?code=canary#canary")
    assert text == "kis.websocket_url cannot be used: fragment identifier is meaningless"


@pytest.mark.parametrize("protocol", ["ws", "http"])
async def test_nobody_listens_or_the_name_is_unknown(protocol):
    """A closed port and an unknown host name each have a sentence."""
    (port,) = free_ports(1)
    assert await said(protocol, f"{protocol}://127.0.0.1:{port}/") == (
        f"127.0.0.1:{port} refused the connection: nothing listens there"
    )
    assert (await said(protocol, f"{protocol}://kis.invalid/")).startswith("the host name kis.invalid is unknown: ")
