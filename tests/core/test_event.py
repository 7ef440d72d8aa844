"""Events and their JSON."""

import json

from connector.core.event import Event


def test_the_json_has_every_field_in_the_order_of_the_contract():
    """A field without a value is null, never left out."""
    event = Event("session_down", "2026-01-02T00:00:00.000Z", 3, None, {"cause": "reset", "code": None})
    assert json.dumps(event.to_json()) == (
        '{"event": "session_down", "at": "2026-01-02T00:00:00.000Z", "slot": 3, "instrument": null, '
        '"detail": {"cause": "reset", "code": null}}'
    )
