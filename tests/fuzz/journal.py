"""Opens damaged journals: each opens or is refused, and no frame is invented.

An input is a list of edits of six bytes: what to do, to which file, where, and the byte to write.
"""

import asyncio
import contextlib
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.errors import JournalUnusable
from connector.settings import JournalSettings
from connector.shell.journal import Journal
from tests.fuzz.virtual_loop import VirtualLoop

FRAMES = 40
MOST_EDITS = 40
EDIT_BYTES = 6


@cache
def sound():
    """Return the files of a journal of two segments after a kill, by name."""
    with _folder() as folder, _loop() as loop:
        path = folder / "journal"
        for number in range(FRAMES):
            if number in (0, FRAMES // 2):
                journal = loop.run_until_complete(Journal.open(JournalSettings(path=path), lambda _: None))
                journal.keep_key(0, 7, CipherKey("k" * 32, "i" * 16))
            journal.append(_frame(number))
            loop.run_until_complete(asyncio.sleep(0.01))
            if number == FRAMES // 4:
                journal.advance(number)
            if number == FRAMES // 2 - 1:
                loop.run_until_complete(journal.close())
        loop.run_until_complete(asyncio.sleep(1.0))
        files = {each.name: each.read_bytes() for each in path.iterdir() if each.name != "lock"}
        loop.run_until_complete(journal.close())
    assert len(files) == 4
    return files


def damaged(edits):
    """Check a damaged journal: it opens or is refused, frames are genuine, new ones are kept."""
    with _folder() as folder, _loop() as loop:
        path = folder / "journal"
        path.mkdir()
        for name, content in _edited(edits).items():
            (path / name).write_bytes(content)
        for _ in range(2):
            with contextlib.suppress(JournalUnusable):
                loop.run_until_complete(_use(path))


async def _use(path):
    journal = await Journal.open(JournalSettings(path=path), lambda _: None)
    try:
        written = {_frame(number).raw for number in range(FRAMES)} | {b"new"}
        journal.append(Received(time.time_ns(), 0, 7, False, b"new"))
        last = journal.last_seq
        after = journal.watermark
        assert after < last, "a new frame counts as delivered already"
        async with asyncio.timeout(120):
            while after < last:
                block = await journal.read(after, 7)
                assert block.last_seq > after
                assert written.issuperset(frame.raw for frame in block.frames)
                after = block.last_seq
        assert block.frames[-1].raw == b"new"
        assert journal.received == journal.finished + journal.pending + sum(journal.lost.values())
        assert journal.pending >= 1
        journal.advance(after)
        assert isinstance(await journal.saved("lists"), str | None)
        await journal.save("lists", "{}")
    finally:
        await journal.close()


def _edited(edits):
    files = {name: bytearray(content) for name, content in sorted(sound().items())}
    names = list(files)
    for start in range(0, min(len(edits), MOST_EDITS * EDIT_BYTES) - EDIT_BYTES + 1, EDIT_BYTES):
        what, *place, value = edits[start : start + EDIT_BYTES]
        content = files[names[what & 3]]
        at = int.from_bytes(place) % (len(content) + 1)
        match what >> 2 & 3:
            case 0 if at < len(content):
                content[at] = value
            case 1 if at < len(content):
                content[at] ^= 1 << (value & 7)
            case 2:
                content[at : at + 16 * value] = bytes(len(content[at : at + 16 * value]))
            case 3:
                del content[at:]
    return {name: bytes(content) for name, content in files.items()}


def _frame(number):
    return Received(time.time_ns(), 0, 7, False, b"0|H0BJCNT0|001|%d^" % number + b"x" * 150)


@contextlib.contextmanager
def _folder():
    memory = Path("/dev/shm")  # a disk is ten times slower
    folder = Path(tempfile.mkdtemp(prefix="kis-bond-fuzz-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _loop():
    loop = VirtualLoop()
    try:
        yield loop
    finally:
        loop.close()
