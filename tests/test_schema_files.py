"""The published schema files are found in a checkout."""

import json

import pytest

from connector.schema_files import bond_tick, schema_text


def test_the_tick_schema_is_found():
    """The Avro schema of a tick is the published file."""
    assert json.loads(bond_tick())["namespace"] == "kis.bond"


def test_a_file_that_is_not_shipped_is_an_error():
    """An unknown name is an error rather than an empty text."""
    with pytest.raises(FileNotFoundError):
        schema_text("none.avsc")
