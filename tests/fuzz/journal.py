"""Opens damaged journals: each opens, no frame is invented, and none goes missing silently.

An input is a list of edits of six bytes: what to do and to which file, where, and the byte to
write.
"""

import asyncio
import contextlib
import tempfile
import time
from functools import cache
from pathlib import Path

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal import Journal
from connector.shell.journal.inspection import inspect
from tests.fuzz.virtual_loop import VirtualLoop, workers_at_once

FRAMES = 40
FINISHED = 10
BOUND = 64 * 1024  # below the setting's least: segments of 4 KiB, so that the journal has several
MOST_EDITS = 40
EDIT_BYTES = 6


@cache
def sound():
    """Return the files of a journal after a kill, by name: segments and state files."""
    with _folder() as folder, _loop() as loop:
        journal = loop.run_until_complete(_open(folder))
        loop.run_until_complete(_fill(journal))
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        loop.run_until_complete(journal.close())
    assert sum(name.endswith(".log") for name in files) > 1
    assert files["progress"]
    assert files["saved.json"]
    return {name: content for name, content in files.items() if content}


async def _fill(journal):
    journal.keep_key(0, 7, CipherKey("k" * 32, "i" * 16))
    for number in range(1, FRAMES + 1):
        journal.append(_frame(number))
        await asyncio.sleep(0.5)  # long enough for a sync
    journal.advance(FINISHED)
    await journal.save("lists", "{}")
    await asyncio.sleep(6.0)  # long enough for the progress to be saved


def damaged(edits):
    """Check a damaged journal: what is missing is counted, the rest is genuine, new frames stay."""
    files = _edited(edits)
    with _folder() as folder, _loop() as loop:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        inspect(folder)
        for _ in range(2):
            loop.run_until_complete(_use(folder))


async def _use(folder):
    journal = await _open(folder)
    try:
        journal.append(Received(time.time_ns(), 0, 7, False, b"new"))
        last, after = journal.last_seq, journal.watermark
        assert after < last, "a new frame counts as delivered already"
        found = []
        async with asyncio.timeout(120):
            while after < last:
                block = await journal.read(after, 7)
                assert block.first_seq > after
                for number, frame in enumerate(block.frames, block.first_seq):
                    # Bytes that no edit spoilt for the checksum are those of that very number.
                    assert frame.raw in {_frame(number).raw, b"new"}
                    found.append(number)
                after = block.last_seq
        assert block.frames[-1].raw == b"new"
        assert found == sorted(set(found))
        assert journal.received == journal.finished + journal.pending + sum(journal.lost.values())
        assert journal.pending == len(found), "a frame is missing and not counted"
        journal.advance(after)
        assert isinstance(await journal.saved("lists"), str | None)
        await journal.save("lists", "{}")
    finally:
        await journal.close()


async def _open(folder):
    return await Journal.open(JournalSettings(path=folder).model_copy(update={"max_bytes": BOUND}), lambda _: None)


def _edited(edits):
    files = {name: bytearray(content) for name, content in sound().items()}
    names = sorted(files)
    for start in range(0, min(len(edits), MOST_EDITS * EDIT_BYTES) - EDIT_BYTES + 1, EDIT_BYTES):
        what, *place, value = edits[start : start + EDIT_BYTES]
        name = names[(what >> 3) % len(names)]
        if (content := files.get(name)) is None:
            continue
        at = int.from_bytes(place) % (len(content) + 1)
        match what & 7:
            case 0 if at < len(content):
                content[at] = value
            case 1 if at < len(content):
                content[at] ^= 1 << (value & 7)
            case 2:
                content[at : at + 16 * value] = bytes(len(content[at : at + 16 * value]))
            case 3:
                del content[at:]
            case 4:
                content += content[at : at + 16 * value]
            case 5:
                del files[name]
    return {name: bytes(content) for name, content in files.items()}


def _frame(number):
    return Received(time.time_ns(), 0, 7, False, b"0|H0BJCNT0|001|%d^" % number + b"x" * 400)


@contextlib.contextmanager
def _folder():
    memory = Path("/dev/shm")  # a disk is ten times slower
    with tempfile.TemporaryDirectory(prefix="kis-bond-fuzz-", dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _loop():
    loop = VirtualLoop()
    try:
        with workers_at_once():
            yield loop
    finally:
        loop.close()
