"""Frames of a grammar, good or mutated, are read as the contract promises."""

from hypothesis import given
from hypothesis import strategies as st

from connector.core.ticks.frame import BadFrame, split
from tests.fuzz import checks
from tests.fuzz.grammar import good_frames, good_records, mutated


@given(good_frames())
def test_what_was_rendered_is_parsed(frame):
    """A good frame gives exactly its records, in order."""
    found = split(checks.received(frame.render()), (checks.OTHER_KEY, checks.KEY))
    assert [tuple(record.columns) for record in found] == list(frame.records)


@given(good_frames())
def test_a_good_frame_passes_every_check(frame):
    """Both readings agree on a good frame, and each record is a tick with the same values."""
    checks.frame(frame.render())


@given(mutated(), st.booleans())
def test_a_mutated_frame_passes_every_check(raw, binary):
    """Both readings agree on a mutated frame; nothing raises, and no byte is lost."""
    checks.frame(raw, binary=binary)


@given(good_frames())
def test_a_frame_of_n_is_n_frames_of_one(frame):
    """A frame of n records gives the same as n frames of one record."""
    together = split(checks.received(frame.render()), (checks.KEY,))
    alone = [split(checks.received(b"0|H0BJCNT0|001|" + "^".join(one).encode()), ()) for one in frame.records]
    assert [[record] for record in together] == alone


@given(
    st.lists(good_records(3), min_size=1, max_size=3),
    st.integers(0, 18),
    st.sampled_from(["", "x", "１", "-", "1e9", "9" * 40, "^"]),
)
def test_one_bad_record_leaves_its_neighbours(records, column, text):
    """A bad record does not change the records beside it."""
    spoilt = list(records[0])
    spoilt[column] = text
    for columns in (spoilt, *records):
        checks.record(checks.lone(columns), checks.received(b""))


@given(mutated())
def test_an_encrypted_frame_gives_the_same_as_in_clear(raw):
    """An encrypted payload gives the same records, or the same reason, as in clear."""
    checks.sealed_frame(raw.split(b"|", 3)[-1])


@given(mutated())
def test_without_a_key_every_encrypted_frame_is_one_reason(raw):
    """Without a key, every encrypted frame is DECRYPT_NO_KEY."""
    bad = split(checks.received(b"1|H0BJCNT0|001|" + raw), ())
    assert isinstance(bad, BadFrame)
    assert bad.reason == "DECRYPT_NO_KEY"
