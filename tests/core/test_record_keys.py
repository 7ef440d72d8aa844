"""The prefixes of the keys of status records and events."""

import json
from pathlib import Path

from connector.core import record_keys

SCHEMA = Path(__file__).parents[2] / "schemas" / "status_record.schema.json"


def test_the_prefixes_are_those_of_the_published_schema():
    """The schema of status records describes the keys with these prefixes."""
    described = json.loads(SCHEMA.read_text())["description"]
    prefixes = record_keys.INSTRUMENT, record_keys.LIST, record_keys.SLOT
    assert all(f"{prefix}<" in described for prefix in prefixes)
