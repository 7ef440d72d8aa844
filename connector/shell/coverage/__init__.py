"""The auditor's side of Kafka: its group, the coverage topic, and the topics that tell causes."""

from connector.shell.coverage.coverage_topic import read_partition
from connector.shell.coverage.fact_topics import FactTopics
from connector.shell.coverage.tick_group import TickGroup

__all__ = ["FactTopics", "TickGroup", "read_partition"]
