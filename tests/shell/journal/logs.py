"""A log in a folder, for tests."""

from itertools import cycle

from connector.core.journal.record import Block
from connector.core.ticks.frame import Received
from connector.shell.journal.folder import Folder
from connector.shell.journal.log import Log
from connector.shell.journal.reading import read


def block(first, last, size=100):
    """Return frames of these numbers; each tells its number."""
    return Block(first, [Received(seq, 0, 7, False, b"%0*d" % (size, seq)) for seq in range(first, last + 1)])


def new_log(path, max_bytes=2**20, retain_seconds=3600.0):
    """Return an empty log."""
    return Log(Folder(path), [], max_bytes, retain_seconds)


def seqs(log, after, before, limits=(50,), on_key=print):
    """Return the numbers of all frames, read at most so many at once, and the missing numbers.

    `on_key` gets each cipher key on the way.
    """
    found, missing = [], []
    limit = cycle(limits)
    while after < before - 1:
        part = read(log.folder, log.segments, after, before, most := next(limit))
        assert len(part.block.frames) <= most
        found += [frame.received_ns for frame in part.block.frames]
        missing += part.missing
        for key in part.keys:
            on_key(key)
        after = part.block.last_seq
    return found, missing
