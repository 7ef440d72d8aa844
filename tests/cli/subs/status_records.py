"""Status records as a connector would have written them."""

import json
from datetime import UTC, datetime


def active(offset, **fields):
    """Return an instrument's status record that reflects a control offset."""
    record = {"state": "ACTIVE", "lists": [], "slot": 0, "since": "s", "code": None, "message": None} | fields
    return json.dumps(record | {"control": {"partition": 0, "offset": offset}})


def alive():
    """Return a slot's status record of this moment."""
    return json.dumps({"state": "CONNECTED", "alive_at": datetime.now(UTC).isoformat()})
