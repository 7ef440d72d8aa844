"""Frames of a grammar, good and then mutated, keep what was promised of every frame."""

from hypothesis import given
from hypothesis import strategies as st

from connector.core.ticks.frame import BadFrame, split
from tests.fuzz import checks
from tests.fuzz.grammar import good_frames, good_records, mutated


@given(good_frames())
def test_what_was_rendered_is_parsed(frame):
    """A good frame gives exactly the records it was made of, in their order."""
    found = split(checks.received(frame.render()), checks.SCHEMA.width, (checks.OTHER_KEY, checks.KEY))
    assert [tuple(record.columns) for record in found] == list(frame.records)


@given(good_frames())
def test_a_good_frame_passes_every_check(frame):
    """Two readings agree on a good frame, and each of its records is a tick that reads back."""
    checks.frame(frame.render())


@given(mutated(), st.booleans())
def test_a_mutated_frame_passes_every_check(raw, binary):
    """Two readings agree on a spoilt frame, nothing raises, and a quarantined frame or record keeps its bytes."""
    checks.frame(raw, binary=binary)


@given(good_frames())
def test_a_frame_of_n_is_n_frames_of_one(frame):
    """The records of one frame are those of as many frames of one record each."""
    together = split(checks.received(frame.render()), checks.SCHEMA.width, (checks.KEY,))
    alone = [
        split(checks.received(b"0|H0BJCNT0|001|" + "^".join(one).encode()), checks.SCHEMA.width, ())
        for one in frame.records
    ]
    assert [[record] for record in together] == alone


@given(
    st.lists(good_records(3), min_size=1, max_size=3),
    st.integers(0, 18),
    st.sampled_from(["", "x", "１", "-", "1e9", "9" * 40, "^"]),
)
def test_one_bad_record_leaves_its_neighbours(records, column, text):
    """A record with a bad column is judged by itself: those beside it stay as they were."""
    spoilt = list(records[0])
    spoilt[column] = text
    for columns in (spoilt, *records):
        checks.record(checks.lone(columns), checks.received(b""))


@given(mutated())
def test_an_encrypted_frame_says_what_it_says_in_clear(raw):
    """Encryption changes no verdict: the same payload gives the same records or the same reason."""
    checks.sealed_frame(raw.split(b"|", 3)[-1])


@given(mutated())
def test_without_a_key_every_encrypted_frame_is_one_reason(raw):
    """Whatever an encrypted frame holds, without a key it is DECRYPT_NO_KEY."""
    bad = split(checks.received(b"1|H0BJCNT0|001|" + raw), checks.SCHEMA.width, ())
    assert isinstance(bad, BadFrame)
    assert bad.reason in {"DECRYPT_NO_KEY", "FRAME_NOT_UTF8"}
