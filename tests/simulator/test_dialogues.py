"""What public clients send, in their order, and what they wait for.

The messages are composed from the facts about each client: the official bond samples register
trades, order books and an index on one session and answer a PINGPONG with a Pong frame; wrappers
ask for an access token first.
"""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from simulator import Simulator, codes

A, B = "KR103502GD31", "KR6095572D81"
PAIR = {"grant_type": "client_credentials", "appkey": "key0"}


def official(key, tr_type, tr_id, tr_key):
    """Return a request as the official client writes it, its fields in another order than ours."""
    header = {"content-type": "utf-8", "approval_key": key, "tr_type": tr_type, "custtype": "P"}
    return json.dumps({"header": header, "body": {"input": {"tr_id": tr_id, "tr_key": tr_key}}})


def legacy(key, tr_type, tr_id, tr_key):
    """Return a request as the older sample pastes it together."""
    return (
        f'{{"header":{{"approval_key":"{key}","custtype":"P","tr_type":"{tr_type}","content-type":"utf-8"}},'
        f'"body":{{"input":{{"tr_id":"{tr_id}","tr_key":"{tr_key}"}}}}}}'
    )


async def receive_all(socket, wanted):
    """Receive until a text of each kind in `wanted` has come; return the last of each kind."""
    seen = {}
    async with asyncio.timeout(30):
        while not wanted <= seen.keys():
            text = await socket.recv()
            if text.startswith("{"):
                header = json.loads(text)["header"]
                if header["tr_id"] == "PINGPONG":
                    await socket.pong(text)
                seen[f"{header['tr_id']} {header.get('tr_key', '')}".strip()] = text
            else:
                seen[text.split("|")[1]] = text
    return seen


@pytest.mark.parametrize("request_text", [official, legacy])
async def test_the_official_bond_samples(ask_approval, request_text):
    """Trades, order books and an index on one session: each is acknowledged, and each comes."""
    wished = [("H0BJASP0", A), ("H0BJCNT0", A), ("H0BICNT0", "KBPR01"), ("H0BJCNT0", B)]
    async with Simulator(rate=50, pingpong_seconds=0.2) as kis:
        key = await ask_approval(kis)
        async with connect(kis.websocket_url, ping_interval=None, compression=None) as socket:
            for tr_id, tr_key in wished:
                await socket.send(request_text(key, "1", tr_id, tr_key))
            seen = await receive_all(socket, {f"{a} {b}" for a, b in wished} | {"H0BJASP0", "H0BJCNT0", "H0BICNT0"})
            assert all(json.loads(seen[f"{a} {b}"])["body"]["msg_cd"] == "OPSP0000" for a, b in wished)
            widths = {"H0BJASP0": 34, "H0BJCNT0": 19, "H0BICNT0": 20}
            for tr_id, width in widths.items():
                flag, name, count, record = seen[tr_id].split("|")
                assert (flag, name, count, len(record.split("^"))) == ("0", tr_id, "001", width)
            kis.rate = 0
            await receive_all(socket, {"PINGPONG"})
            await socket.send(request_text(key, "2", "H0BJASP0", A))
            body = json.loads((await receive_all(socket, {f"H0BJASP0 {A}"}))[f"H0BJASP0 {A}"])["body"]
            assert body["msg_cd"] == "OPSP0001"
            assert kis.sessions[0].tr_keys == (A, B)


async def test_all_trs_count_together(ask_approval):
    """The limit of a session counts registrations of every TR."""
    async with Simulator(capacity=2) as kis:
        key = await ask_approval(kis)
        async with connect(kis.websocket_url, ping_interval=None, compression=None) as socket:
            answers = []
            for tr_id, tr_key in (("H0BJASP0", A), ("H0BICNT0", "KISR01"), ("H0BJCNT0", A)):
                await socket.send(official(key, "1", tr_id, tr_key))
                answers.append(json.loads(await socket.recv())["body"]["msg_cd"])
            assert answers == ["OPSP0000", "OPSP0000", "OPSP0008"]


async def test_a_wrapper_that_asks_for_a_token_first(post_json, ask_approval, join):
    """A token, two approval keys in a row without the one-a-second rule, and a session."""
    async with Simulator(approval_interval_seconds=0) as kis:
        url = kis.approval_url.replace("Approval", "tokenP")
        assert (await post_json(url, PAIR | {"appsecret": "secret0"}))[0] == 200
        first, second = await ask_approval(kis), await ask_approval(kis)
        assert first != second
        await join(kis, A, key=second)


async def test_the_one_a_second_rule_has_one_recorded_shape(post_json):
    """EGW00201 is HTTP 500 with rt_cd, whatever shape the other errors have."""
    async with Simulator(error_shape="gateway") as kis:
        answers = [await post_json(kis.approval_url, PAIR | {"secretkey": "secret0"}) for _ in range(2)]
        assert (answers[1][0], json.loads(answers[1][1])["msg_cd"]) == (500, "EGW00201")
        assert json.loads(answers[1][1])["rt_cd"] == "1"


async def test_a_refused_approval_key_is_quoted_and_ends_the_connection(join):
    """OPSP0011 names the instrument and quotes the key; TCP ends a moment later."""
    async with Simulator() as kis:
        client = await join(kis, key="no-such-key")
        answer = await client.ask(A)
        assert answer["body"] == {"rt_cd": "1", "msg_cd": "OPSP0011", "msg1": "invalid approval : no-such-key"}
        assert (answer["header"]["tr_id"], answer["header"]["tr_key"]) == ("H0BJCNT0", A)
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive()
        assert caught.value.rcvd is None


async def test_a_friendly_refusal_keeps_the_socket(join, ask_approval):
    """By switch the text has no key and the session goes on with another key."""
    async with Simulator(faults=["friendly-refusal"]) as kis:
        client = await join(kis, key="no-such-key")
        assert (await client.ask(A))["body"]["msg1"] == codes.MESSAGES["OPSP0011"]
        client.key = await ask_approval(kis)
        assert await client.code(A) == "OPSP0000"


async def test_a_bond_that_kis_does_not_have(join):
    """OPSP0009 has rt_cd 9, names the instrument, and the session goes on."""
    async with Simulator(faults=[f"reply:{A}=OPSP0009"]) as kis:
        client = await join(kis)
        answer = await client.ask(A)
        assert (answer["body"]["rt_cd"], answer["header"]["tr_key"]) == ("9", A)
        assert await client.code(B) == "OPSP0000"


async def test_encrypted_sessions_are_announced(join):
    """A registration whose frames will be encrypted is acknowledged with encrypt Y."""
    async with Simulator() as kis:
        client = await join(kis)
        assert (await client.ask(A))["header"]["encrypt"] == "N"
        kis.faults.set("encrypted")
        assert (await client.ask(B))["header"]["encrypt"] == "Y"


async def test_a_burst_of_registrations_ends_the_connection(join):
    """By switch, more registrations within a second than allowed end TCP; paced ones do not."""
    async with Simulator(faults=["burst=3"]) as kis:
        client = await join(kis, A, B, "KR103502GA34")
        with pytest.raises(ConnectionClosed) as caught:
            await client.code("KR6000011D12")
        assert caught.value.rcvd is None


async def test_a_key_is_burnt_by_an_unclean_end(join):
    """By switch a key is refused after an unclean end, and accepted after a clean one."""
    async with Simulator(faults=["burn-key"]) as kis:
        clean = await join(kis, A)
        await clean.socket.close()
        again = await join(kis, A, key=clean.key)
        await kis.drop(0)
        late = await join(kis, key=again.key)
        assert await late.code(A) == "OPSP0011"


GOODBYES = {
    "before the handshake": b"",
    "within the handshake": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "no WebSocket": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "within the body": b"POST /oauth2/Approval HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
}


@pytest.mark.parametrize("way", GOODBYES)
@pytest.mark.parametrize("port", ["ws", "rest"])
async def test_a_client_that_goes_away_leaves_no_traceback(way, port, until, caplog):
    """A client may go away at any moment, with a reset."""
    loop, trouble = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: trouble.append(context))
    async with Simulator() as kis:
        url = kis.websocket_url if port == "ws" else kis.approval_url
        host, number = url.split("/")[2].split(":")
        _, writer = await asyncio.open_connection(host, int(number))
        writer.write(GOODBYES[way])
        await writer.drain()
        await asyncio.sleep(0.01)  # the server reads what was written before it sees the end
        writer.transport.abort()
        await until(lambda: not kis._exchange.connections)
    assert trouble == []
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_client_that_goes_away_within_a_frame_leaves_no_traceback(join, until, caplog):
    """A session may end by a reset while ticks are sent and half a frame has come."""
    loop, trouble = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: trouble.append(context))
    async with Simulator(rate=2000, approval_interval_seconds=0) as kis:
        for _ in range(5):
            client = await join(kis, A)
            client.socket.transport.write(b"\x81\xfe\x01")
            client.socket.transport.abort()
            await until(lambda: not kis.sessions)
    assert trouble == []
    assert [record for record in caplog.records if record.exc_info] == []
