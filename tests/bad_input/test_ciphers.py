"""Bad-input matrix, encrypted frames: one reason with a key, one without, and no more."""

import asyncio

import pytest

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import BadFrame, split
from connector.shell.delivery import Delivery
from tests.bad_input.inputs import CIPHERS, IV, KEY, RECORD, encrypted, sealed
from tests.bad_input.test_frames import KEYS, SCHEMA, received
from tests.shell.delivery.fake_kafka import DEAD_LETTERS, TICKS, Brokers
from tests.shell.delivery.frames import MemoryJournal, frame


@pytest.mark.parametrize("name", CIPHERS)
def test_a_bad_encrypted_frame_has_one_reason(name):
    """A bad encrypted frame has its reason, with the session's key alone or among others."""
    for keys in (KEYS, (CipherKey("z" * 31 + "y", "f" * 16), *KEYS)):
        bad = split(received(CIPHERS[name].raw), keys)
        assert isinstance(bad, BadFrame)
        assert bad.reason == CIPHERS[name].reason


@pytest.mark.parametrize("name", [name for name, bad in CIPHERS.items() if bad.reason != "FRAME_COUNT"])
def test_without_a_key_nothing_is_tried(name):
    """Until a reply brings a key, every encrypted frame is DECRYPT_NO_KEY."""
    assert split(received(CIPHERS[name].raw), ()).reason == "DECRYPT_NO_KEY"


def test_no_word_says_why_a_key_does_not_fit():
    """Bad base64, size, padding and text give the same words, without any plaintext."""
    failed = {name: split(received(bad.raw), KEYS) for name, bad in CIPHERS.items() if bad.reason == "DECRYPT_FAILED"}
    assert len(set(failed.values())) == 1
    short = split(received(CIPHERS["opened, and short"].raw), KEYS)
    assert RECORD[:12] not in f"{short} {set(failed.values())}"


@pytest.mark.parametrize(
    ("key", "iv"), [("", ""), (KEY, IV[:-1]), (KEY[:-1], IV), ("가" * 32, IV), (KEY, "가" * 16), ("\ud800" * 32, IV)]
)
def test_a_key_of_the_wrong_size_opens_nothing(key, iv):
    """A key or IV of the wrong size fails like one that does not fit."""
    assert split(received(encrypted(sealed(RECORD)).encode()), [CipherKey(key, iv)]).reason == "DECRYPT_FAILED"


@pytest.mark.parametrize(
    ("comes", "expected"),
    [("at once", (TICKS, None)), ("in time", (TICKS, None)), ("never", (DEAD_LETTERS, b"DECRYPT_NO_KEY"))],
)
async def test_a_frame_waits_a_bounded_time_for_its_key(comes, expected, monkeypatch):
    """A frame waits a bounded time for its key, then is a dead letter; later frames go on."""
    monkeypatch.setattr("connector.shell.delivery.reading.KEY_WAIT_SECONDS", 0.5 if comes == "never" else 30)
    brokers, journal = Brokers(), MemoryJournal()
    if comes == "at once":
        journal.cipher_keys[0, 7] = KEYS
    delivery = Delivery(journal, SCHEMA, brokers.kafka(), _framing)
    task = asyncio.create_task(delivery.run())
    secret = frame(raw=encrypted(sealed(RECORD)).encode())
    journal.append(secret, frame(RECORD))
    if comes == "in time":
        await asyncio.sleep(0.1)  # for this long the frame must wait
        assert journal.watermark == 0
        journal.cipher_keys[0, 7] = KEYS
    async with asyncio.timeout(30):
        await delivery.drained(2)
    task.cancel()
    await asyncio.wait([task])
    topic, reason = expected
    written = [(at[0], record) for at, log in brokers.logs.items() for record in log]
    assert sorted(at for at, _ in written) == sorted([topic, TICKS])
    if reason:
        (letter,) = [record for at, record in written if at == DEAD_LETTERS]
        assert (letter.headers["reason"], letter.value) == (reason, secret.raw)


async def _framing():
    return SCHEMA.single_object_prefix
