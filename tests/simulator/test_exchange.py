"""The rules between clients."""

import asyncio
import json

import pytest
from websockets.exceptions import ConnectionClosed, InvalidUpgrade

from simulator import Simulator
from simulator.codes import MESSAGES

A, B, C = "KR103502GD31", "KR103502GA34", "KR6000011D12"


async def forever(client):
    """Receive until something ends it."""
    while True:
        await client.receive()


async def test_register_and_release(join):
    """A registration and a release succeed once; a repeat gets a code of its own."""
    async with Simulator() as kis:
        client = await join(kis)
        assert [await client.code(A), await client.code(A)] == ["OPSP0000", "OPSP0002"]
        assert kis.sessions[0].tr_keys == (A,)
        assert [await client.code(A, "2"), await client.code(A, "2")] == ["OPSP0001", "OPSP0003"]
        assert kis.sessions[0].tr_keys == ()
        assert [reply.code for reply in kis.replies] == ["OPSP0000", "OPSP0002", "OPSP0001", "OPSP0003"]


async def test_success_carries_new_keys(join):
    """Every successful registration gets a key and an IV of its own."""
    async with Simulator() as kis:
        client = await join(kis)
        first, second = (await client.ask(A))["body"]["output"], (await client.ask(B))["body"]["output"]
        assert first != second
        assert (len(first["iv"]), len(first["key"])) == (16, 32)


async def test_capacity(join):
    """One registration too many is refused, the session lives, and a release makes room."""
    async with Simulator(capacity=2) as kis:
        client = await join(kis, A, B)
        refusal = (await client.ask(C))["body"]
        assert (refusal["msg_cd"], refusal["rt_cd"]) == ("OPSP0008", "1")
        assert await client.code(A, "2") == "OPSP0001"
        assert await client.code(C) == "OPSP0000"


async def test_unknown_and_expired_approval_keys(join):
    """An unknown approval key is refused; a session outlives the key that opened it."""
    async with Simulator(faults=["friendly-refusal"]) as kis:
        client = await join(kis, key="no such key")
        assert await client.code(A) == "OPSP0011"
        known = await join(kis, A)
        kis.expire_approvals()
        assert await known.code(B) == "OPSP0000"
        late = await join(kis, key=known.key)
        assert await late.code(A) == "OPSP0011"
        assert await client.code(A) == "OPSP0011"


async def test_second_session_is_refused(join):
    """In mode refuse the second session of an app key is refused, and dropped."""
    async with Simulator() as kis:
        first = await join(kis, A)
        second = await join(kis, key=first.key)
        assert await second.code(B) == "OPSP8996"
        with pytest.raises(ConnectionClosed) as caught:
            await second.receive()
        assert caught.value.rcvd is None
        assert await first.code(B) == "OPSP0000"


async def test_second_session_kicks_the_first(join):
    """In mode kick the second session wins and the first is dropped."""
    async with Simulator(in_use="kick") as kis:
        first = await join(kis, A)
        second = await join(kis, B, key=first.key)
        with pytest.raises(ConnectionClosed):
            await first.receive()
        assert [session.tr_keys for session in kis.sessions] == [(B,)]
        assert await second.code(A) == "OPSP0000"


async def test_two_app_keys_have_a_session_each(join, ask_approval):
    """Sessions of different app keys live side by side, numbered like the pairs."""
    async with Simulator(app_keys=[("key0", "secret0"), ("key1", "secret1")]) as kis:
        await join(kis, A, key=await ask_approval(kis, "key1", "secret1"))
        await join(kis, A)
        assert [(session.app_key, session.tr_keys) for session in kis.sessions] == [(1, (A,)), (0, (A,))]


async def test_app_key_lingers_after_an_unclean_end(join, until):
    """An app key stays in use for a while after its client vanished, not after a clean close."""
    async with Simulator(linger_seconds=0.5) as kis:
        first = await join(kis, A)
        await first.socket.close()
        await until(lambda: not kis.sessions)
        second = await join(kis, A, key=first.key)
        second.socket.transport.abort()
        await until(lambda: not kis.sessions)
        codes = []
        async with asyncio.timeout(30):
            while codes[-1:] != ["OPSP0000"]:
                codes.append(await (await join(kis, key=first.key)).code(A))
        assert codes[0] == "OPSP8996"


async def test_what_is_no_request_drops_the_session(join):
    """A text that is not JSON gets OPSP9999, and the session ends."""
    async with Simulator() as kis:
        client = await join(kis, A)
        await client.socket.send("not json")
        assert json.loads(await client.receive())["body"]["msg_cd"] == "OPSP9999"
        with pytest.raises(ConnectionClosed):
            await client.receive()


async def test_every_code_can_be_forced(join):
    """A registration can be answered with any code of the table."""
    async with Simulator(faults=["keep-after-error", "friendly-refusal"]) as kis:
        client = await join(kis)
        for code in MESSAGES:
            kis.faults.set(f"reply:{A}={code}")
            body = (await client.ask(A))["body"]
            assert (body["msg_cd"], body["msg1"]) == (code, MESSAGES[code])
        assert await client.code(B) == "OPSP0000"


async def test_lost_and_slow_replies(join, until):
    """A registration whose reply is lost takes effect, and a slow reply comes late."""
    async with Simulator(faults=["lost-replies=2", "slow-replies=0.1"]) as kis:
        client = await join(kis)
        start = asyncio.get_running_loop().time()
        assert await client.code(A) == "OPSP0000"
        assert asyncio.get_running_loop().time() - start >= 0.1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.ask(B)
        await until(lambda: kis.sessions[0].tr_keys == (A, B))
        assert [reply.sent for reply in kis.replies] == [True, False]
        assert await client.code(B) == "OPSP0002"


@pytest.mark.parametrize("opcode", ["text", "binary", "ping", "pong"])
async def test_pingpong_is_answered_by_any_opcode(join, until, opcode):
    """An idle line gets PINGPONG, and any frame with the same text answers it."""
    async with Simulator(pingpong_seconds=0.1, pingpong_timeout_seconds=30, ping="strict") as kis:
        client = await join(kis)
        text = await client.receive()
        assert json.loads(text)["header"]["tr_id"] == "PINGPONG"
        match opcode:
            case "text" | "binary":
                await client.socket.send(text if opcode == "text" else text.encode())
            case "ping":
                await client.socket.ping(text)
            case "pong":
                await client.socket.pong(text)
        await until(lambda: kis.sessions[0].pongs)
        assert (kis.sessions[0].pongs[0].identical, kis.sessions[0].pongs[0].opcode) == (True, opcode)


async def test_unanswered_pingpong_ends_the_session(join):
    """A client that does not answer PINGPONG is dropped without a close frame."""
    async with Simulator(pingpong_seconds=0.1, pingpong_timeout_seconds=0.3) as kis:
        client = await join(kis)
        with pytest.raises(ConnectionClosed) as caught:
            await forever(client)
        assert caught.value.rcvd is None


async def test_no_pingpong_while_data_flows(join, until):
    """A busy line gets no PINGPONG, an idle one beside it does."""
    async with Simulator(pingpong_seconds=1.0, rate=100) as kis:
        await join(kis, A)
        idle = await join(kis, key="nobody")
        await until(lambda: kis.sessions[1].pingpongs_sent >= 2)
        assert kis.sessions[0].pingpongs_sent == 0
        assert json.loads(await idle.receive())["header"]["tr_id"] == "PINGPONG"


async def test_protocol_ping(join, until):
    """A protocol Ping is answered in mode lenient and ends the session in mode strict."""
    async with Simulator() as kis:
        client = await join(kis, A)
        async with asyncio.timeout(30):
            await (await client.socket.ping())
    async with Simulator(ping="strict") as kis:
        client = await join(kis, A)
        await client.socket.pong(b"")
        await until(lambda: not kis.sessions)


async def test_silence(join, until):
    """A silent session stays open and sends nothing until the fault is off."""
    async with Simulator(rate=100, pingpong_seconds=0.1) as kis:
        client = await join(kis, A)
        await client.receive()
        kis.faults.set("silent")
        sent = kis.stats.frames
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await forever(client)
        assert (kis.stats.frames, len(kis.sessions)) == (sent, 1)
        assert kis.sent[-1].kind == "unheard"
        kis.faults.clear("silent")
        await client.receive()


@pytest.mark.parametrize(
    ("fault", "code"),
    [("abrupt=0.2", None), ("no-close-frame=0.2", None), ("close=1001@0.2", 1001), ("close-at-once", None)],
)
async def test_sessions_end_at_their_age(join, fault, code):
    """Each fault of age ends a session as its name says."""
    async with Simulator(faults=[fault]) as kis:
        client = await join(kis)
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive()
        assert (caught.value.rcvd and caught.value.rcvd.code) == code


async def test_echo(join, ask_approval):
    """With the fault echo an error, a close reason or the handshake quotes the approval key."""
    async with Simulator(approval_interval_seconds=0, faults=["echo=reply"]) as kis:
        key = await ask_approval(kis)
        client = await join(kis, key=key)
        assert (await client.ask(A, "2"))["body"]["msg1"].endswith(key)
        kis.faults.set("echo=close")
        await client.ask(A)
        await kis.drop(0, "close=1000")
        with pytest.raises(ConnectionClosed) as caught:
            await forever(client)
        assert caught.value.rcvd.reason == key
        kis.faults.set("echo=handshake")
        with pytest.raises(InvalidUpgrade, match=key):
            await join(kis, key=key)
