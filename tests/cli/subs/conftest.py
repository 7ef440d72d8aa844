"""Fixtures for topics of the test's own, and another client that reads what was written."""

import json

import jsonschema
import pytest

from tests.cli.subs.status_records import SCHEMAS
from tests.kafka.reader import create_topics, read_all


@pytest.fixture
def topics(kafka, topic_names):
    """Create the control and the status topic."""
    create_topics(kafka.bootstrap_servers, {topic_names.control: 1, topic_names.status: 1}, cleanup_policy="compact")
    return topic_names


@pytest.fixture
def written(kafka, topics):
    """Return a function that reads the control topic through another client, as (key, value).

    It checks each value against the published schema.
    """
    schema = json.loads((SCHEMAS / "control_record.schema.json").read_text())

    def read():
        records = read_all(kafka.bootstrap_servers, topics.control)
        read = [(record.key.decode(), None if record.value is None else json.loads(record.value)) for record in records]
        for _, value in read:
            if value is not None:
                jsonschema.validate(value, schema)
        return read

    return read
