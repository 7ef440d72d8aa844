"""Decodes the journal's frames, produces their ticks to Kafka in order, and moves the watermark."""

from connector.shell.delivery.delivery import Delivery, Kafka

__all__ = ["Delivery", "Kafka"]
