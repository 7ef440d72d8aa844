"""What delivery knows about a bond follows the lists and the lanes."""

import pytest

from connector.shell.delivery.bond import Bond
from tests.shell.delivery.fake_kafka import TICKS
from tests.shell.delivery.frames import ISINS, frame, record
from tests.shell.delivery.test_sorter import Sink, make_sorter

RUN = [frame(record(ISINS[0], accumulated=number)) for number in range(1, 9)]
ONE = RUN[:1]


def test_a_new_bond_has_no_tick():
    """A bond whose first tick is still on its way has an empty record."""
    assert not Bond(b"KR", Sink(TICKS, 0), is_requested=True).raw


@pytest.mark.parametrize("frames", [ONE, RUN])
def test_a_tick_counts_as_unrequested_while_no_list_wants_its_bond(frames):
    """Until the lists are known, no tick counts; then each edit decides."""
    sorter, first_seq = make_sorter(), 1
    expected = 0
    for wanted in (None, ISINS[1:], ISINS, ISINS[1:]):
        if wanted is not None:
            sorter.request(frozenset(wanted))
            expected += len(frames) * (ISINS[0] not in wanted)
        sorter.place(first_seq, frames)
        first_seq += len(frames)
        assert sorter.counts.unrequested == expected


@pytest.mark.parametrize("frames", [ONE, RUN])
def test_a_bond_goes_on_in_the_lane_of_the_present_partitions(frames):
    """With other partitions, the next record goes where its key belongs now."""
    sorter = make_sorter()
    sorter.place(1, frames)
    lanes = [Sink(TICKS, 0)]
    sorter.route_to(lanes, sorter.letters)
    sorter.place(1 + len(frames), frames)
    assert [each.key for _, each in lanes[0].records()] == [ISINS[0].encode()] * len(frames)
    assert sorter.last_tick(ISINS[0])[0] == frames[-1].received_ns
