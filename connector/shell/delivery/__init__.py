"""Decodes the journal's frames, produces their ticks to Kafka in order, and moves the watermark."""

from connector.shell.delivery.assignment import Kafka, LatestTopic
from connector.shell.delivery.delivery import Delivery

__all__ = ["Delivery", "Kafka", "LatestTopic"]
