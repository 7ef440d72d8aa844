"""The whole matrix of frames over a real socket, journal and delivery: none is dropped."""

import asyncio
import json
import re

from connector.core.ticks.dead_letter import LONGEST_TEXT
from connector.settings import JournalSettings
from connector.shell.delivery import Delivery
from connector.shell.journal import Journal
from connector.shell.kis.socket import MAX_FRAME_BYTES
from simulator import Simulator
from tests.bad_input.inputs import ACCEPTED, CIPHERS, FIELDS, FRAMES, RECORD, frame
from tests.bad_input.test_frames import SCHEMA
from tests.shell.delivery.fake_kafka import DEAD_LETTERS, TICKS, Brokers
from tests.shell.kis.bench import A, Bench, until

# The simulator's session has other keys, so that no payload of the tables can be decrypted.
SEALED = {name: "DECRYPT_FAILED" if bad.reason == "FRAME_ARITY" else bad.reason for name, bad in CIPHERS.items()}


async def test_every_bad_input_is_a_dead_letter_and_stops_nobody(tmp_path):
    """Each bad input among good ticks is a dead letter with its bytes; each tick is published."""
    async with Simulator() as kis:
        journal = await Journal.open(JournalSettings(path=tmp_path / "journal"), lambda _: None)
        bench, brokers = Bench(kis), Brokers()
        bench.feed._journal = journal
        brokers.most_batch_bytes[DEAD_LETTERS] = 2 * MAX_FRAME_BYTES
        delivery = Delivery(journal, SCHEMA, brokers.kafka(), _framing)
        delivery.request(frozenset({A}))
        task = asyncio.create_task(delivery.run())
        expected = []
        async with bench.running(A):
            await bench.active(A)
            for bad, reason in [(bad, bad.reason) for bad in FRAMES.values()] + [
                (CIPHERS[name], SEALED[name]) for name in CIPHERS
            ]:
                await kis.emit(bad.raw, binary=bad.binary)
                await kis.emit_ticks(A)
                expected.append((reason, bad.raw))
            for bad in FIELDS.values():
                await kis.emit(bad.frame)
                expected.append((bad.reason, bad.record))
            for text, _ in ACCEPTED.values():
                await kis.emit(text)
            frames = 2 * (len(FRAMES) + len(CIPHERS)) + len(FIELDS) + len(ACCEPTED)
            await until(lambda: journal.last_seq == frames, lambda: (journal.last_seq, frames, bench.events), 60)
            async with asyncio.timeout(60):
                await delivery.drained(frames)
        task.cancel()
        await asyncio.wait([task])
        await journal.close()
    assert len(kis.connects) == 1
    letters = brokers.logs[DEAD_LETTERS, 0]
    # Longer texts are cut, and so many letters without a blank look like an app secret.
    short = [
        place
        for place, (_, value) in enumerate(expected)
        if len(value) <= LONGEST_TEXT and not re.search(rb"[A-Za-z0-9+/]{150}", value)
    ]
    assert [letter.headers["reason"].decode() for letter in letters] == [reason for reason, _ in expected]
    assert [letters[place].value for place in short] == [expected[place][1] for place in short]
    good = len(FRAMES) + len(CIPHERS) + 2 * len(FIELDS) + sum(len(extras) for _, extras in ACCEPTED.values())
    assert sum(len(log) for (topic, _), log in brokers.logs.items() if topic == TICKS) == good
    counts = delivery.counts
    assert (journal.received, journal.finished, journal.pending, journal.lost) == (frames, frames, 0, {})
    assert (counts.decoded, counts.acknowledged, counts.in_flight) == (good + len(FIELDS), good, 0)
    assert counts.extended == sum(bool(extra) for _, extras in ACCEPTED.values() for extra in extras)
    assert counts.unrequested == good - len(FRAMES) - len(CIPHERS)
    assert sum(counts.dead_letters.values()) == len(expected)


async def test_a_reply_that_comes_as_a_frame_keeps_its_keys_in_the_journal(tmp_path):
    """The dead letter of an unrecognised reply hides its keys; the journal has them."""
    async with Simulator() as kis:
        journal = await Journal.open(JournalSettings(path=tmp_path / "journal"), lambda _: None)
        bench, brokers = Bench(kis), Brokers()
        bench.feed._journal = journal
        delivery = Delivery(journal, SCHEMA, brokers.kafka(), _framing)
        task = asyncio.create_task(delivery.run())
        async with bench.running(A):
            await bench.active(A)
            pair = kis.sessions[0].keys(A)
            reply = json.dumps(
                {"header": {"tr_id": "H0BJCNT0", "tr_key": A}, "body": {"output": {"iv": pair.iv, "key": pair.key}}}
            )
            sent = [(reply, True), (f"[{reply}]", False), (f"\ufeff{reply}", False)]
            for text, binary in sent:
                await kis.emit(text, binary=binary)
            await until(lambda: journal.last_seq == len(sent))
            async with asyncio.timeout(30):
                await delivery.drained(len(sent))
        kept = (await journal.read_again(0, len(sent), len(sent))).frames
        task.cancel()
        await asyncio.wait([task])
        await journal.close()
    assert [frame.raw.decode() for frame in kept] == [text for text, _ in sent]
    letters = brokers.logs[DEAD_LETTERS, 0]
    assert [letter.headers["reason"] for letter in letters] == [b"FRAME_KIND", b"FRAME_HEADER", b"FRAME_HEADER"]
    for letter in letters:
        assert A.encode() in letter.value
        for secret in pair.key, pair.iv:
            assert secret not in repr((letter.value, letter.headers))


async def test_a_frame_beyond_the_size_limit_ends_the_connection_and_no_more():
    """A frame one byte too large ends the connection with 1009; the next session has ticks."""
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        await kis.emit(b"x" * MAX_FRAME_BYTES)
        await kis.emit_ticks(A)
        await until(lambda: len(bench.journal.raw) == 2)
        await kis.emit(b"x" * (MAX_FRAME_BYTES + 1))
        await until(lambda: len(kis.connects) == 2 and bench.state(A) == "ACTIVE", lambda: bench.events)
        await kis.emit_ticks(A)
        await until(lambda: len(bench.journal.raw) == 3)
        (down,) = [event["detail"] for event in bench.events if event["event"] == "session_down"]
        assert down["code"] == "1009"
        assert bench.feed.unreadable == 0


def test_the_largest_frame_kis_can_send_is_far_below_the_limit():
    """A frame of 999 ticks has a quarter of the socket's limit."""
    assert len(frame(*[RECORD] * 999).encode()) < MAX_FRAME_BYTES / 4


async def _framing():
    return SCHEMA.single_object_prefix
