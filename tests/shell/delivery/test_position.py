"""A position orders all records."""

from connector.shell.delivery.position import frame_of, index_of, position


def test_a_position_orders_records_by_frame_and_place():
    """Positions order all records; the largest frame ends below the next frame's first."""
    assert position(1, 998) < position(2, 0) < position(2, 1)
    assert (frame_of(position(7, 998)), index_of(position(7, 998))) == (7, 998)
