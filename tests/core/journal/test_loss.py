"""Losses of one slot and reason add up."""

from connector.core.journal.loss import Loss


def test_losses_of_a_slot_and_reason_are_merged():
    """Frames and bytes add up, and the times span both."""
    merged = Loss(0, "disk", 1, 10, 100, 100) + Loss(0, "disk", 2, 20, 200, 300)
    assert merged == Loss(0, "disk", 3, 30, 100, 300)
