"""With a wss:// URL the exchange has to prove who it is; with any, the app secret never goes there."""

import ssl

import pytest
from websockets.asyncio.server import serve

from connector.shell.kis.credentials import AppKey
from connector.shell.kis.socket import open_socket
from simulator import Simulator
from simulator.connection import Connection
from tests.security.certificates import Authority
from tests.shell.kis.bench import A, B, Bench, until


async def opened(certificate, host="127.0.0.1", *, newest=None):
    """Open a connection to a server with this certificate, and close it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if newest:
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
        context.set_ciphers("ALL:@SECLEVEL=0")

    async def accept(connection):
        await connection.wait_closed()

    async with serve(accept, "127.0.0.1", 0, ssl=context) as kis:
        connection = await open_socket(f"wss://{host}:{kis.sockets[0].getsockname()[1]}/")
        await connection.close()


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """Give an authority that this machine trusts for the time of the test."""
    one = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(one.ca))
    return one


async def test_a_right_certificate_is_taken(authority):
    """Signed by an authority the system trusts, for this address, in its time: so that the refusals show something."""
    await opened(authority.issue("kis"))


@pytest.mark.parametrize(
    ("issue", "host", "said"),
    [
        ({"hosts": ("127.0.0.1",)}, "localhost", "Hostname mismatch"),
        ({"days": -1}, "127.0.0.1", "certificate has expired"),
    ],
)
async def test_a_wrong_certificate_is_refused(authority, issue, host, said):
    """Another host, or an expired one: no connection."""
    with pytest.raises(ssl.SSLCertVerificationError, match=said):
        await opened(authority.issue("kis", **issue), host)


async def test_an_authority_nobody_trusts_is_refused(tmp_path):
    """A certificate of one's own making opens nothing, and there is no switch for it."""
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate"):
        await opened(Authority(tmp_path, "nobody").issue("kis"))


async def test_tls_before_1_2_is_refused(authority):
    """A server that speaks TLS 1.1 at most is not talked to."""
    with pytest.warns(DeprecationWarning, match="TLSv1"), pytest.raises((ssl.SSLError, ConnectionError)):
        await opened(authority.issue("kis"), newest=ssl.TLSVersion.TLSv1_1)


async def test_the_app_secret_is_never_on_the_websocket(monkeypatch):
    """All that the exchange gets there, handshakes and messages of two sessions, holds the approval key and not the app secret."""
    appkey, appsecret = "PScanaryappkey00000000000000000000000", "canary-appsecret-" + "x" * 160
    received = []
    shake, take = Connection._shake, Connection._handle

    def note_handshake(connection, request):
        received.append(request.serialize())
        shake(connection, request)

    def note_frame(connection, frame):
        received.append(bytes(frame.data))
        take(connection, frame)

    monkeypatch.setattr(Connection, "_shake", note_handshake)
    monkeypatch.setattr(Connection, "_handle", note_frame)
    async with Simulator(app_keys=[(appkey, appsecret)]) as kis:
        bench = Bench(kis, credentials=lambda _: AppKey(appkey, appsecret))
        async with bench.running(A, B):
            await bench.active(A, B)
            await kis.emit_ticks(A)
            await kis.drop(how="abrupt")
            await until(lambda: len(kis.connects) == 2)
            await bench.active(A, B)
            bench.feed.want([A])
            await until(lambda: kis.sessions[0].tr_keys == (A,))
        approvals = [*kis._approvals._issued]
    everything = b"".join(received)
    assert any(approval.encode() in everything for approval in approvals)
    assert len(received) > 6
    for secret in appkey, appsecret:
        assert secret.encode() not in everything
