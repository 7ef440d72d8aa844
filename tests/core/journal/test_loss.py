"""Losses are merged by slot and reason until they are reported."""

import json

import pytest

from connector.core.journal.loss import Loss, Losses


def test_losses_of_a_slot_and_reason_are_merged():
    """Frames and bytes add up, and the times span all; the first of its kind is told."""
    losses = Losses()
    assert losses.add(Loss(0, "disk", 1, 10, 100, 100))
    assert not losses.add(Loss(0, "disk", 2, 20, 200, 300))
    assert losses.add(Loss(1, "disk", 1, 5, 150, 150))
    assert list(losses.take()) == [Loss(0, "disk", 3, 30, 100, 300), Loss(1, "disk", 1, 5, 150, 150)]
    assert list(losses.take()) == []


def test_unreported_losses_reach_the_next_process():
    """What was saved as JSON is there again."""
    losses = Losses()
    losses.add(Loss(0, "corrupt", 1, 10, 100, 100))
    assert Losses(json.loads(json.dumps(losses.to_json()))).unreported == losses.unreported


@pytest.mark.parametrize("saved", [[1], [["one"]], [[1, 2, 3, 4, 5, 6, 7]]])
def test_other_content_is_refused(saved):
    """Saved content of another shape raises TypeError."""
    with pytest.raises(TypeError):
        Losses(saved)
