"""The data path and its faults."""

import asyncio
import base64
import json
import time

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from simulator import Simulator, malformed

A, B, C = "KR103502GD31", "KR103502GA34", "KR6000011D12"


def parts(frame):
    """Return flag, TR id, count and columns of a frame."""
    flag, tr_id, count, payload = frame.split("|", 3)
    return flag, tr_id, count, payload.split("^")


async def test_only_registered_bonds_tick(join):
    """Ticks come for registered bonds only, at the given rate, each logged as sent."""
    async with Simulator() as kis:
        client = await join(kis, A, B)
        kis.rate = 500
        frames = [await client.receive() for _ in range(200)]
        assert {parts(frame)[3][0] for frame in frames} == {A, B}
        assert frames == [f"0|H0BJCNT0|001|{sent.records[0].raw}" for sent in kis.sent[:200]]


@pytest.mark.parametrize(("rate", "ticks"), [(1000, 1500), (150, 200)])
async def test_rate_is_kept(join, until, rate, ticks):
    """On average, ticks come at the given rate."""
    async with Simulator(rate=rate, keep_sent=False) as kis:
        client = await join(kis, A)
        await client.receive()
        for _ in range(3):  # a busy machine may spoil one
            before, start = kis.stats.ticks, time.monotonic()
            await until(lambda before=before: kis.stats.ticks >= before + ticks)
            if 0.9 < (ratio := (time.monotonic() - start) * rate / ticks) < 1.3:
                break
        assert 0.9 < ratio < 1.3


async def test_both_holders_get_the_same_tick(join, ask_approval):
    """A bond registered on two sessions sends both the same trade."""
    async with Simulator() as kis:
        first = await join(kis, A, key=await ask_approval(kis, "a"))
        second = await join(kis, A, key=await ask_approval(kis, "b"))
        await kis.emit_ticks(A)
        assert await first.receive() == await second.receive()


async def test_emit_ticks_in_large_frames(join):
    """Several ticks can share a frame; a bond that nobody registered is an error."""
    async with Simulator() as kis:
        client = await join(kis, A)
        records = await kis.emit_ticks(A, 25, per_frame=10)
        counts = [parts(await client.receive()) for _ in range(3)]
        assert [count for _, _, count, _ in counts] == ["010", "010", "005"]
        assert "^".join(records).split("^") == [field for *_, fields in counts for field in fields]
        with pytest.raises(LookupError, match=B):
            await kis.emit_ticks(B)


async def test_columns_and_caret(join):
    """Extra columns follow each record and belong to its text; a trailing caret does not."""
    async with Simulator(faults=["extra=2", "trailing-caret"]) as kis:
        client = await join(kis, A)
        await kis.emit_ticks(A, 2, per_frame=2)
        *fields, last = parts(await client.receive())[3]
        assert (len(fields), last) == (42, "")
        assert "^".join(fields) == "^".join(record.raw for record in kis.sent[0].records)


async def test_batch(join):
    """The paced feed puts the given number of ticks into each frame, even at a low rate."""
    async with Simulator(rate=100, faults=["batch=5"]) as kis:
        client = await join(kis, A, B)
        for _ in range(5):
            assert parts(await client.receive())[2] == "005"


async def test_encrypted(join):
    """Encrypted frames open with the keys of the bond's own reply."""
    async with Simulator(faults=["encrypted"]) as kis:
        client = await join(kis, B)
        output = (await client.ask(A))["body"]["output"]
        (record,) = await kis.emit_ticks(A)
        flag, _, _, (sealed,) = parts(await client.receive())
        decryptor = Cipher(algorithms.AES256(output["key"].encode()), modes.CBC(output["iv"].encode())).decryptor()
        padded = decryptor.update(base64.b64decode(sealed)) + decryptor.finalize()
        assert (flag, padded[: -padded[-1]].decode()) == ("1", record)
        assert (kis.sent[0].encrypted, kis.sent[0].records[0].raw) == (True, record)


@pytest.mark.parametrize(
    ("fault", "order"),
    [("duplicate=2", [0, 1, 1, 2, 3, 3]), ("reorder=2", [0, 2, 1, 3]), ("missing=2", [0, 2]), ("extra", [0, 1, 2, 3])],
)
async def test_order_faults(join, fault, order):
    """Frames are repeated, swapped or left out as asked, and the log shows what was sent."""
    async with Simulator(faults=[fault]) as kis:
        client = await join(kis, A)
        records = await kis.emit_ticks(A, 4)
        kis.faults.clear()
        got = [parts(await client.receive())[3][:19] for _ in order]
        assert got == [records[index].split("^") for index in order]
        logged = [sent.records[0].raw.split("^")[:19] for sent in kis.sent if sent.kind == "ticks"]
        assert logged == got
        assert sum(sent.copy for sent in kis.sent) == kis.stats.repeats == (2 if fault.startswith("duplicate") else 0)
        assert sum(sent.kind == "withheld" for sent in kis.sent) == (2 if fault.startswith("missing") else 0)


async def test_malformed_frames_come_beside_good_ones(join):
    """Each malformed kind comes in turn, logged with its reason, and costs no good tick."""
    rounds = len(malformed.MAKERS)
    async with Simulator(faults=["malformed=1"]) as kis:
        client = await join(kis, A)
        made = await kis.emit_ticks(A, rounds)
        received = [await client.receive(decode=False) for _ in kis.sent]
        good = [record.raw for sent in kis.sent for record in sent.records if record.reason is None]
        reasons = [sent.reason for sent in kis.sent if sent.reason]
        reasons += [record.reason for sent in kis.sent for record in sent.records if record.reason]
        assert (good, len(reasons), kis.stats.malformed, kis.stats.ticks) == (made, rounds, rounds, rounds)
        assert [raw for raw, sent in zip(received, kis.sent, strict=True) if sent.raw is not None] == [
            sent.raw for sent in kis.sent if sent.raw is not None
        ]


async def test_the_sent_log_is_readable_while_it_grows(join, tmp_path):
    """Another process can read each frame as soon as it was received."""
    async with Simulator(sent_log=tmp_path / "sent.jsonl") as kis:
        client = await join(kis, A)
        kis.rate = 200
        frames = [await client.receive() for _ in range(5)]
        lines = [json.loads(line) for line in (tmp_path / "sent.jsonl").read_text(encoding="utf-8").splitlines()]
        assert [f"0|H0BJCNT0|001|{line['records'][0]['raw']}" for line in lines[:5]] == frames
        assert lines[0]["at"] > 10**18


async def test_rate_zero_sends_nothing_and_can_be_raised(join):
    """At rate 0 nothing trades until the rate is raised."""
    async with Simulator() as kis:
        client = await join(kis, A)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await client.socket.recv()
        kis.rate = 50
        await client.receive()


async def test_a_bond_named_in_the_settings_trades_unheard(join, until):
    """A bond that always trades is logged as unheard; a registered one reaches its session."""
    async with Simulator(rate=500, bonds=[A, B]) as kis:
        client = await join(kis, A)
        since = kis.replies[0].at

        def unheard():
            return [sent.records[0].tr_key for sent in kis.sent if sent.kind == "unheard" and sent.at > since]

        await until(lambda: len(unheard()) >= 20)
        assert set(unheard()) == {B}
        assert parts(await client.receive())[3][0] == A
