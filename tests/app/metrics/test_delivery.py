"""Frames and ticks are conserved, and the journal shows its state."""

import re
from collections import Counter
from pathlib import Path

from connector.app.metrics.delivery import DEAD_LETTER_REASONS
from tests.app.metrics.samples import journal, samples

ROOT = Path(__file__).parents[3]


def test_frames_and_ticks_are_conserved():
    """Received = finished + pending + lost; decoded = acknowledged + dead + in flight."""
    value = samples()
    assert (
        value["kis_bond_frames_received_total", ()]
        == 12
        == 7 + 3 + value["kis_bond_frames_lost_total", (("reason", "journal_full"),)]
    )
    assert value["kis_bond_ticks_in_flight", ()] == 9 - 6 - 2


def test_the_reasons_of_dead_letters_are_those_the_code_gives():
    """The metric's reasons are exactly those in the code."""
    code = "".join(path.read_text() for part in ("core", "shell") for path in (ROOT / "connector" / part).rglob("*.py"))
    found = Counter(re.findall(r'"((?:FRAME|DECRYPT|FIELD|KAFKA)_[A-Z0-9_]*[A-Z0-9]|BUG)"', code))
    assert set(found) == set(DEAD_LETTER_REASONS)
    assert min(found.values()) > 1, "a reason stands in its Literal alone"


def test_a_journal_that_cannot_be_written_shows():
    """0 means trouble, as in `up`."""
    assert samples()["kis_bond_journal_writable", ()] == 1
    assert samples(journal=journal(write_error="disk full"))["kis_bond_journal_writable", ()] == 0
