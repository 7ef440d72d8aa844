"""Takes frames from the journal to Kafka: decoded, encoded, in order, acknowledged."""

from connector.shell.delivery.delivery import Delivery, Kafka

__all__ = ["Delivery", "Kafka"]
