"""A journal under steady load, to be killed; prints what it found, then what it committed."""

import asyncio
import json
import sys
import time
from pathlib import Path

import structlog

from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal import Journal, syncing

MAX_BYTES = 2 * 2**20  # segments of 128 KiB, so that they are begun and unlinked all the time


async def main(path: Path) -> None:
    """Write until killed."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    syncing.SYNC_SECONDS = syncing.PROGRESS_SECONDS = 0.001
    source = await Journal.open(JournalSettings(path=path, max_bytes=MAX_BYTES, retain_hours=0), print)
    holes, readable, after = 0, 0, source.watermark
    while after < source.committed_seq:
        block = await source.read(after, 4096)
        holes += block.first_seq - after - 1
        readable += len(block.frames)
        after = block.last_seq
    found = {name: getattr(source, name) for name in ("last_seq", "received", "finished", "pending")}
    tell(json.dumps({**found, "holes": holes, "readable": readable, "lost": sum(source.lost.values())}))
    while True:
        for _ in range(50):
            source.append(Received(time.time_ns(), 0, 1, False, b"x" * 300))
        after = (await source.read(after, 4096)).last_seq
        source.advance(after - 20)
        tell(str(source.committed_seq))


def tell(line: str) -> None:
    """Print one line for the parent process."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
