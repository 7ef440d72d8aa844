"""The view of a slot is plain data; tests/core/kis/test_session.py makes views."""

import dataclasses

import pytest

from connector.core.kis.slot_view import SlotView


def test_a_view_does_not_change():
    """Whoever holds a view of a slot can rely on it."""
    view = SlotView(0, "IDLE", 41, 0, None, None, {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        view.state = "CONNECTED"
