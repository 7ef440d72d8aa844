"""The ring holds each session's keys as long as frames may need them."""

from connector.core.cipher_key import CipherKey
from connector.core.journal.key_ring import KeyRing
from connector.core.journal.record import Key

A, B, C = (CipherKey(letter * 32, letter * 16) for letter in "abc")


def test_the_newest_key_comes_first():
    """Keys come newest first; one found in an older part of the log comes last; none twice."""
    ring = KeyRing()
    ring.add(Key(1, 0, 7, B))
    ring.add(Key(2, 0, 7, C))
    ring.add_older(Key(0, 0, 7, A))
    ring.add_older(Key(0, 0, 7, B))
    assert list(ring.get(0, 7)) == [C, B, A]
    assert list(ring.get(1, 7)) == []
    assert [key.key for key in ring.needed(0)] == [A, B, C]


def test_keys_of_an_ended_session_go_when_its_frames_are_finished():
    """A session's keys are needed until a later session's began and all before is finished."""
    ring = KeyRing()
    ring.add(Key(1, 0, 7, A))
    ring.add(Key(10, 0, 8, B))
    ring.add(Key(10, 1, 5, C))
    assert {key.session for key in ring.needed(9)} == {7, 8, 5}
    assert {key.session for key in ring.needed(10)} == {8, 5}
    assert list(ring.get(0, 7)) == []


def test_a_late_key_of_an_earlier_session_ends_no_later_one():
    """The order of the sessions counts, not that of their keys."""
    ring = KeyRing()
    ring.add(Key(10, 0, 8, B))
    ring.add(Key(12, 0, 7, A))
    assert {key.session for key in ring.needed(12)} >= {8}
