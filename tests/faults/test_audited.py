"""A rig that asks the auditor must see what the auditor misses, and what it does not."""

from dataclasses import replace

from simulator.sent_log import Sent, SentRecord
from tests.faults.audited import audited
from tests.faults.test_ledger import read, sent
from tests.shell.delivery.frames import ISINS, record

# Trades of 10 each that follow one another: 0 to 10, 10 to 20, and so on.
TEXTS = [record(ISINS[0], volume=10, accumulated=10 * number) for number in range(1, 6)]


def read_all(texts):
    """Return the Kafka records of ticks, at one offset after the other."""
    return [replace(read(text), offset=offset) for offset, text in enumerate(texts)]


def unheard(text):
    """Return the log entry of a trade that no session was sent."""
    return Sent(0, None, -1, "unheard", (SentRecord(ISINS[0], text),))


def test_a_whole_run_has_no_hole():
    """If every trade is read back, the auditor misses nothing."""
    found = audited([sent(text) for text in TEXTS], read_all(TEXTS), [])
    assert (found.missed, found.volume, found.volume_kept_back, dict(found.causes)) == (0, 0, 0, {})


def test_a_trade_that_was_written_and_is_nowhere_is_missed():
    """The auditor misses the trade and its volume; nothing explains it."""
    found = audited([sent(text) for text in TEXTS], read_all([*TEXTS[:2], *TEXTS[3:]]), [])
    assert (found.missed, found.volume, found.volume_kept_back, dict(found.causes)) == (1, 10, 10, {"unknown": 1})


def test_a_trade_that_no_session_was_sent_is_a_hole_but_not_missed():
    """Only what the exchange had written counts as missed; the hole has the volume all the same."""
    log = [sent(text) if place != 2 else unheard(text) for place, text in enumerate(TEXTS)]
    found = audited(log, read_all([*TEXTS[:2], *TEXTS[3:]]), [])
    assert (found.missed, found.volume, found.volume_kept_back) == (0, 10, 10)
