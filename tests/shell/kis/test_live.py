import contextlib
import json

import pytest
import structlog
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from connector.core.bonds.isin import with_check_digit
from connector.logs import clean
from simulator import Simulator
from tests.core.kis.kis_model import reply
from tests.shell.kis.bench import A, B, Bench, until

ODD = [b"", b"\x00", b"\xff\xfe", b"||||", b"\xef\xbb\xbf{}", b"[]", b"0", b"0|H0BJCNT0|001|" + b"x" * 900_000]


async def test_odd_frames_are_journalled_as_they_are():
    """Every message but JSON reaches the journal unchanged, and the session goes on."""
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        for raw in ODD:
            await kis.emit(raw)
            await kis.emit(raw, binary=True)
        await kis.emit_ticks(A, 1)
        await until(lambda: len(bench.journal.raw) == 2 * len(ODD) + 1, lambda: len(bench.journal.raw))
        assert bench.journal.raw[:-1] == [raw for raw in ODD for _ in range(2)]
        assert [frame.binary for frame in bench.journal.frames] == [False, True] * len(ODD) + [False]
        assert len(kis.connects) == 1


async def test_unreadable_json_is_counted_and_not_journalled():
    """Unreadable JSON is counted, but neither journalled nor quoted: it may hold key material."""
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        for raw in (
            "{",
            '{"header":null}',
            '{"a":' * 50_000,
            '{"header":{},"body":{"rt_cd":"0","msg_cd":"' + "x" * 500_000 + '"}}',
        ):
            await kis.emit(raw)
        await kis.emit(b'{"\xff')
        await until(lambda: bench.feed.unreadable == 5)
        assert bench.journal.log == []
        assert bench.state(A) == "ACTIVE"


async def test_keys_stand_before_the_first_encrypted_frame():
    """Once a frame was encrypted, cipher keys are journalled before the frames that need them."""
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        await kis.emit_ticks(A, 1)
        await until(lambda: len(bench.journal.log) == 1)
        kis.faults.set("encrypted")
        await kis.emit_ticks(A, 1)
        await until(lambda: len(bench.journal.log) == 3)
        bench.feed.want([A, B])
        await bench.active(B)
        kept = [entry for entry in bench.journal.log if not hasattr(entry, "raw")]
        assert [entry[2] for entry in kept] == [(keys.key, keys.iv) for keys in kis.sessions[0].registered.values()]
        assert bench.journal.log.index(kept[0]) == 1
        assert bench.journal.raw[1].startswith(b"1|")
        assert kept[0][:2] == (0, bench.journal.frames[0].session)


@pytest.mark.parametrize("code", ["OPSP0009", "OPSP0011", "OPSP8992", "OPSP7777"])
@pytest.mark.parametrize("cause", ["reset", "closed"])
async def test_what_kis_said_before_it_dropped_the_connection_is_told(code, cause, monkeypatch):
    """An error just before the end is the reason, with a close frame or without one.

    That holds even if the next key came in between.
    """
    monkeypatch.setattr("connector.core.kis.approval_keys.KEY_SPACING_SECONDS", 0.0)

    async def refuse_and_drop(connection):
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()
            await connection.send(reply(code, A, rt_cd="9"))
            if code == "OPSP0011":
                await connection.recv()
            if cause == "closed":
                await connection.close(1000)
            connection.transport.abort()

    async with serve(refuse_and_drop, "127.0.0.1", 0) as kis:
        bench = Bench(url=f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/")
        async with bench.running(A):
            await until(bench.downs)
            down = next(event["detail"] for event in bench.events if event["event"] == "session_down")
            assert (down["cause"], down["code"], down["message"]) == (cause, code, "text")


async def test_the_reason_of_a_close_frame_is_told():
    """A close frame that gives a reason is the last word, after an error about one bond, too."""

    async def refuse_and_close(connection):
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()
            await connection.send(reply("OPSP8993", A))
            await connection.close(1008, "too many connections")

    async with serve(refuse_and_close, "127.0.0.1", 0) as kis:
        bench = Bench(url=f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/")
        async with bench.running(A):
            await until(bench.downs)
            down = next(event["detail"] for event in bench.events if event["event"] == "session_down")
            assert (down["cause"], down["code"], down["message"]) == ("closed", "1008", "too many connections")


async def test_unsolicited_ack_is_released():
    """A bond that KIS registered without a request is released."""
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        await kis.emit(reply("OPSP0000", B))
        await until(lambda: any(answer.tr_key == B for answer in kis.replies))
        assert (kis.replies[-1].tr_type, kis.replies[-1].code, bench.feed.unsolicited) == ("2", "OPSP0003", 1)


async def test_secrets_stay_out_of_logs(caplog, capsys):
    """Neither approval key nor AES key nor IV is logged, even at DEBUG."""
    caplog.set_level("DEBUG")
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        approval_keys = list(kis._approvals._issued)
        keys = kis.sessions[0].keys(A)
        await kis.emit("{" + json.dumps(keys.key))
        await until(lambda: bench.feed.unreadable == 1)
    # The simulator's own logger may say what it likes: it plays KIS.
    printed = "".join(
        str(record.getMessage()) for record in caplog.records if not record.name.startswith("websockets.server")
    )
    printed += "".join(capsys.readouterr())
    assert approval_keys
    assert not [secret for secret in (*approval_keys, keys.key, keys.iv, "appkey0") if secret in printed]


async def test_keys_are_hidden_by_value():
    """No log line holds the key or IV of any reply, even if no word nearby names the value."""
    async with Simulator() as kis, Bench(kis).running(A, B) as bench:
        await bench.active(A, B)
        for keys in kis.sessions[0].registered.values():
            said = clean(f"somebody said {keys.key} and {keys.iv} aloud")
            assert keys.key not in said
            assert keys.iv not in said


async def test_a_slot_that_slows_down_says_so_once(monkeypatch):
    """Once too many requests failed within an hour, one line of the log and the metric say it."""
    monkeypatch.setattr("connector.core.kis.session_registrations.FIRST_FAILURES_AN_HOUR", 240)
    refused = []

    async def refuse(connection):
        async for text in connection:
            refused.append(json.loads(text)["body"]["input"]["tr_key"])
            await connection.send(reply("OPSP8991", refused[-1], rt_cd="1"))

    wrong = [with_check_digit(f"KR10350{number:04d}") for number in range(130)]
    with structlog.testing.capture_logs() as lines:
        async with serve(refuse, "127.0.0.1", 0) as kis:
            bench = Bench(url=f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/")
            async with bench.running(*wrong):
                await until(lambda: bench.feed.is_slowed, lambda: len(refused))
                assert len(refused) >= 120
                bench.feed.want([])
                await until(bench.downs)
    assert [line["slot"] for line in lines if line["event"] == "requests_slowed"] == [0]
