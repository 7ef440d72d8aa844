"""Status records as a connector writes them, each checked against the published schema."""

import json
from datetime import UTC, datetime

import jsonschema

from tests.published import STATUS

SINCE = "2026-01-02T00:00:00.000Z"


def checked(record):
    """Return a status record as JSON after checking it against the schema."""
    jsonschema.validate(record, STATUS)
    return json.dumps(record)


def position(offset):
    """Return the position of a control record."""
    return {"partition": 0, "offset": offset}


def active(offset, **fields):
    """Return the status record of an instrument that reflects a control offset."""
    record = {"state": "ACTIVE", "lists": [], "slot": 0, "since": SINCE, "code": None, "message": None}
    record |= {"wanted_since": SINCE} | fields
    return checked(record | {"control": position(offset)})


def alive(at=None):
    """Return the status record of a slot that is alive at `at`, by default now."""
    at = at or datetime.now(UTC).isoformat()
    slot = {
        "state": "CONNECTED",
        "owner": "test",
        "capacity": 41,
        "registered": 1,
        "pending": 0,
        "since": SINCE,
        "code": None,
        "message": None,
    }
    return checked(slot | {"alive_at": at})


def refused(reason, offset, in_force=None):
    """Return the status record of a list after a refusal of its record at `offset`.

    `in_force` are the bonds it keeps, by its record at offset 0.
    """
    value = None if in_force is None else {"value": {"instruments": in_force}, "control": position(0)}
    count = len(in_force or ())
    return checked(
        {"state": "REFUSED", "instruments": count, "reason": reason, "control": position(offset), "in_force": value}
    )


def accepted(isins, offset):
    """Return the status record of a list with its record at `offset` in force."""
    value = {"value": {"instruments": isins}, "control": position(offset)}
    return checked(
        {"state": "ACCEPTED", "instruments": len(isins), "reason": None, "control": position(offset), "in_force": value}
    )
