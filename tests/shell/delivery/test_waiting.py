"""What delivery waits for is known, and logged once."""

from types import SimpleNamespace

from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from connector.shell.delivery.waiting import TopicMissing, Waiting


def test_an_error_is_logged_once_and_a_missing_topic_is_named_until_it_is_there():
    """The same error again is not logged again; only a missing topic asks for an action."""
    waiting = Waiting(SimpleNamespace(watermark=4))
    with capture_logs() as logs:
        waiting.begin(KafkaConnectionError("nobody there"))
        waiting.begin(KafkaConnectionError("nobody there"))
        assert ("nobody there" in waiting.reason, waiting.missing_topic) == (True, None)
        waiting.begin(TopicMissing("Topic ticks is missing."))
    assert [(line["cause"], line["pending_from"]) for line in logs] == [
        ("KafkaConnectionError", 5),
        ("TopicMissing", 5),
    ]
    assert waiting.missing_topic == "Topic ticks is missing."
    waiting.end()
    assert (waiting.reason, waiting.missing_topic) == (None, None)
