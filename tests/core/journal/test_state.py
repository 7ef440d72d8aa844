"""The small files hold what was put in, and tell if they were damaged."""

from typing import get_args

import pytest

from connector.core.journal.record import LossReason, Mark
from connector.core.journal.state import MOST_BYTES, MOST_MARKS, Progress, sealed, unsealed

PROGRESS = Progress(5, 9, {"disk": 2}, [Mark(7, 8, "disk")], 123)


def test_progress_comes_back():
    """Progress comes back from its bytes."""
    assert Progress.from_content(unsealed(PROGRESS.to_bytes())) == PROGRESS


def test_progress_stays_small():
    """With the largest numbers in all fields, progress stays under its limit."""
    most = 2**64 - 1
    lost = dict.fromkeys(get_args(LossReason), most)
    large = Progress(most, most, lost, [Mark(most, most, "dead_letter_refused")] * MOST_MARKS, most)
    assert len(large.to_bytes()) <= MOST_BYTES


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
