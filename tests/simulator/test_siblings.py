"""Order books and indices on their way to the sessions."""

from simulator import Simulator
from tests.simulator.conftest import request_text

A = "KR103502GD31"


async def register(client, tr_id, tr_key):
    """Register another TR than trades."""
    await client.socket.send(request_text(client.key, tr_key).replace("H0BJCNT0", tr_id))
    assert "OPSP0000" in await client.receive()


async def test_sessions_that_registered_the_same_get_the_same(join, ask_approval):
    """Two sessions get the same order book; a session gets nothing that it did not register."""
    async with Simulator() as kis:
        first = await join(kis, key=await ask_approval(kis, "a"))
        second = await join(kis, key=await ask_approval(kis, "b"))
        for client in (first, second):
            await register(client, "H0BJASP0", A)
        await register(second, "H0BICNT0", "KBPR01")
        kis._siblings.send()
        book = await first.receive()
        assert book == await second.receive()
        assert (await second.receive()).startswith("0|H0BICNT0|001|KBPR01^")
        kis._siblings.send()
        assert (await first.receive()).startswith("0|H0BJASP0|001|")
        assert {sent.kind for sent in kis.sent} == {"sibling"}


async def test_a_silent_simulator_sends_no_order_books(join, until):
    """At rate 0 the simulator sends nothing by itself."""
    async with Simulator(approval_interval_seconds=0) as kis:
        client = await join(kis)
        await register(client, "H0BJASP0", A)
        kis.rate = 1
        await until(lambda: kis.sent)
        kis.rate = 0
        sent = len(kis.sent)
        await join(kis)
        assert len(kis.sent) <= sent + 1
