"""The prefixes of the keys of status records and events."""

from connector.core import record_keys
from tests.published import published


def test_the_prefixes_are_those_of_the_published_schema():
    """The schema of each kind of status record describes its keys with this prefix."""
    for prefix in (record_keys.INSTRUMENT, record_keys.LIST, record_keys.SLOT):
        assert f"{prefix}<" in published(f"status_{prefix.rstrip('/')}")["description"]
