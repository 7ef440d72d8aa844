"""Fixtures for topics of the test's own, and another client that reads what was written."""

import json

import jsonschema
import pytest

from tests.kafka.reader import create_topics, read_all
from tests.published import CONTROL


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

    def read():
        records = read_all(kafka.bootstrap_servers, topics.control)
        read = [(record.key.decode(), None if record.value is None else json.loads(record.value)) for record in records]
        for _, value in read:
            if value is not None:
                jsonschema.validate(value, CONTROL)
        return read

    return read
