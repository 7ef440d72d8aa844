"""Topics that may lose records are reported."""

import contextlib
from types import SimpleNamespace

from structlog.testing import capture_logs

from connector.app import topic_check
from connector.core.topic_plan import FoundTopic
from connector.errors import NotInTime


async def test_topics_that_are_not_durable_are_reported_once(monkeypatch):
    """Kafka is asked until it answers; the log has what `topics verify` says of the topics."""
    answers = [
        RuntimeError("a bug"),
        NotInTime("Kafka is away"),
        {"bond.ticks": FoundTopic(6, 1, {"min.insync.replicas": "1"})},
    ]

    async def brokers():
        return 3

    async def find(names):
        assert names == ["bond.ticks"]
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @contextlib.asynccontextmanager
    async def connect(_):
        yield SimpleNamespace(brokers=brokers, find=find)

    monkeypatch.setattr(topic_check, "TopicAdmin", SimpleNamespace(connect=connect))
    monkeypatch.setattr(topic_check, "RETRY_SECONDS", 0)
    with capture_logs() as logs:
        await topic_check.TopicCheck({"ticks": "bond.ticks"}, dict).run()
    assert [(line["event"], line.get("topic"), line.get("problem")) for line in logs] == [
        ("topics_not_looked_at", None, None),
        ("topics_not_looked_at", None, None),
        ("topic_not_durable", "bond.ticks", "has 1 replicas, not 3: reassign its partitions"),
        ("topic_not_durable", "bond.ticks", "min.insync.replicas is 1, not 2: alter the topic"),
    ]
