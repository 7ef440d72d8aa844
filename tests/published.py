"""The published JSON Schemas, made strict: what we write has no field that they do not describe.

As published, they allow more fields, because a later version may add some.
"""

import json
from pathlib import Path

SCHEMAS = Path(__file__).parents[1] / "schemas"


def published(name):
    """Return a schema as it is published."""
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text())


def strict(name):
    """Return a schema that allows no further fields."""
    return _closed(published(name))


def _closed(part):
    match part:
        case dict():
            return {
                name: False if name == "additionalProperties" and value is True else _closed(value)
                for name, value in part.items()
            }
        case list():
            return [_closed(each) for each in part]
    return part


STATUS = {"anyOf": [strict(f"status_{kind}") for kind in ("instrument", "list", "slot")]}
EVENT, CONTROL, COVERAGE = strict("event"), strict("control"), strict("coverage")
