"""Every number is counted once, as finished, pending or lost."""

from hypothesis import given
from hypothesis import strategies as st

from connector.core.journal.record import Mark
from connector.core.journal.tally import Tally

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("lose"), st.integers(1, 30), st.integers(0, 8), st.sampled_from(["disk", "corrupt"])),
        st.tuples(st.just("advance"), st.integers(0, 30)),
        st.tuples(st.just("settle"), st.integers(0, 30)),
    ),
    max_size=25,
)


@given(STEPS)
def test_the_counts_are_those_of_a_plain_model(steps):
    """Whatever is lost, finished and settled, the counts are those of a set of numbers."""
    tally, lost, settled = Tally(0, 30, {}, []), {}, 0
    for what, *values in steps:
        if what == "lose":
            first, more, reason = values
            fresh = [seq for seq in range(first, first + more + 1) if seq > tally.watermark and seq not in lost]
            assert [seq for each in tally.lose(first, first + more, reason) for seq in each] == fresh
            lost |= dict.fromkeys(fresh, reason)
        elif what == "advance":
            tally.watermark = max(tally.watermark, values[0])
        else:
            settled = max(settled, min(values[0], tally.watermark))
            tally.settle(settled)
        done = [seq for seq in range(1, tally.watermark + 1) if seq not in lost]
        assert tally.finished == len(done)
        assert sum(tally.lost.values()) == len(lost)
        assert tally.lost == {
            reason: count for reason in ("disk", "corrupt") if (count := sum(each == reason for each in lost.values()))
        }
        assert tally.last == tally.finished + tally.pending + len(lost)
        assert tally.marks == sorted(tally.marks)
        for seq in range(settled + 1, 33):
            assert tally.after_lost(seq) == next(each for each in range(seq, 60) if each not in lost)


@given(STEPS, st.integers(0, 30))
def test_a_restart_counts_the_same(steps, through):
    """Counts settled up to any number, and the marks above it, make the same tally again."""
    tally = Tally(0, 30, {}, [])
    for what, *values in steps:
        if what == "lose":
            tally.lose(values[0], sum(values[:2]), values[2])
        elif what == "advance":
            tally.watermark = max(tally.watermark, values[0])
    settled = min(through, tally.watermark)
    tally.settle(settled)
    again = Tally(settled, tally.last, tally.settled_losses, tally.marks)
    again.watermark = tally.watermark
    assert (again.finished, again.pending, again.lost) == (tally.finished, tally.pending, tally.lost)


def test_losses_in_a_row_are_one_mark():
    """A thousand frames lost one after another are one range."""
    tally = Tally(0, 0, {}, [])
    for seq in range(1, 1001):
        tally.lose(seq, seq, "journal_full")
    assert tally.marks == [Mark(1, 1000, "journal_full")]
