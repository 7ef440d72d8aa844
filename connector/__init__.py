"""KIS bond ticks to Kafka: the connector."""

__version__ = "0.1.0"
