"""The small files hold what was put in, and tell if they were damaged."""

import pytest

from connector.core.journal.record import Mark
from connector.core.journal.state import MOST_BYTES, Progress, sealed, unsealed

PROGRESS = Progress(5, 9, {"disk": 2}, [Mark(7, 8, "disk")], {"bond.ticks/0": 9}, 123)


def test_progress_comes_back():
    """Progress comes back from its bytes."""
    assert Progress.from_content(unsealed(PROGRESS.to_bytes())) == PROGRESS


def test_progress_stays_small():
    """With very many lanes and marks, progress keeps what matters and stays under its limit."""
    marks = [Mark(10**15 + 4 * seq, 10**15 + 4 * seq + 1, "journal_full") for seq in range(48)]
    large = PROGRESS._replace(lanes={f"bond.ticks/{number}": 10**15 for number in range(1000)}, marks=marks)
    content = large.to_bytes()
    assert len(content) <= MOST_BYTES
    found = Progress.from_content(unsealed(content))
    assert (found.watermark, found.synced, found.lost) == (5, 9, {"disk": 2})
    assert found.marks == marks


def test_no_flipped_bit_is_silent():
    """A file with one bit flipped is damaged, or means the same."""
    sound = PROGRESS.to_bytes()
    for bit in range(8 * len(sound)):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        assert unsealed(bytes(damaged)) in (None, unsealed(sound))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"1", b"[" * 4000, b'{"crc32":0,"content":[]}', b"\xff"])
def test_other_content_is_damaged(data):
    """What was never sealed is damaged."""
    assert unsealed(data) is None


def test_any_text_can_be_sealed():
    """Texts that are no UTF-8 come back, too."""
    assert unsealed(sealed({"texts": {"a": "가\udc80\n"}})) == {"texts": {"a": "가\udc80\n"}}
