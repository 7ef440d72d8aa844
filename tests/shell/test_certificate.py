"""Why a certificate was refused, against a server with certificates of an authority of its own."""

import asyncio
import contextlib
import gc
import socket
import ssl
import warnings
from asyncio.sslproto import SSLProtocol

import pytest

from connector.shell.certificate import certificate_of, explain_refusal
from tests import two_addresses
from tests.security.certificates import Authority
from tests.tls_front import tls_front


@contextlib.asynccontextmanager
async def serving(file):
    """Give the port of a server with this certificate."""

    async def handle(_, writer):
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def refusal(port, ca):
    """Return how a client that trusts `ca` has the refusal explained."""
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context(cafile=ca))
    return await explain_refusal("127.0.0.1", port, refused.value, address_setting="a.url", authority_setting="a.ca")


async def test_each_reason_names_the_certificate(tmp_path):
    """Expired, for another host, of another authority: each names the certificate and the fault."""
    ours, other = Authority(tmp_path), Authority(tmp_path, "other authority")
    for file, ca, expected in (
        (ours.issue("expired", days=-3), ours.ca, r"(for 127.0.0.1) expired on "),
        (ours.issue("host", hosts=("192.0.2.1",)), ours.ca, "(for 192.0.2.1) does not name 127.0.0.1: use a name"),
        (ours.issue("authority"), other.ca, "is signed by CN=test authority, which a.ca does not trust"),
    ):
        async with serving(file) as port:
            text = await refusal(port, ca)
        assert text.startswith(f"the certificate of 127.0.0.1:{port} (for ")
        assert expected in text


async def test_a_server_without_tls_has_no_certificate():
    """A server that speaks no TLS, or is gone, gives no certificate."""

    async def handle(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await certificate_of("127.0.0.1", port) is None
    server.close()
    await server.wait_closed()
    assert await certificate_of("127.0.0.1", port) is None


async def test_a_silent_address_does_not_hide_the_certificate(tmp_path, monkeypatch):
    """If the first address swallows connections, the certificate is read at the second."""
    two_addresses.resolve(monkeypatch)
    async with serving(Authority(tmp_path).issue("server")) as port:
        with two_addresses.swallowing(port):
            assert await certificate_of(two_addresses.NAME, port)


def test_a_look_that_is_cancelled_keeps_no_socket_open(tmp_path, monkeypatch):
    """Cancelled just after the handshake, it leaves no socket, though the server ends no TLS."""
    complete = SSLProtocol._on_handshake_complete
    looks = []

    def complete_and_cancel(protocol, error):
        complete(protocol, error)
        looks[0].cancel()

    async def look():
        looks.append(asyncio.create_task(certificate_of("127.0.0.1", port)))
        await asyncio.wait(looks)

    monkeypatch.setattr(SSLProtocol, "_on_handshake_complete", complete_and_cancel)
    gc.collect()
    with socket.create_server(("127.0.0.1", 0)) as plain, warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always")
        with tls_front(plain.getsockname()[1], Authority(tmp_path).issue("server")) as port:
            asyncio.run(look())
            gc.collect()
            assert [str(warning.message) for warning in unclosed] == []
    assert looks[0].cancelled()
