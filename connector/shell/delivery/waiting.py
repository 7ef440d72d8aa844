"""Says what delivery as a whole is waiting for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from connector.errors import ConnectorError
from connector.shell.kafka.diagnosis import describe

if TYPE_CHECKING:
    from connector.shell.delivery.source import FrameSource

log = structlog.get_logger("connector.delivery")


class TopicMissing(ConnectorError):
    """A topic that the connector writes does not exist, and the running connector creates none."""


class Waiting:
    """`reason` is a sentence's end, or None; `missing_topic` says which topic has to be created."""

    def __init__(self, source: FrameSource) -> None:
        self.reason: str | None = "the first connection to Kafka"
        self.missing_topic: str | None = None
        self._source = source

    def begin(self, error: BaseException) -> None:
        """Note an error, and log it if it is another one than before."""
        reason = describe(error)
        if reason != self.reason:
            log.warning(
                "delivery_waits", cause=type(error).__name__, error=str(error), pending_from=self._source.watermark + 1
            )
        self.reason = reason
        self.missing_topic = str(error) if isinstance(error, TopicMissing) else None

    def end(self) -> None:
        """Note that Kafka answered, and all topics exist."""
        self.reason = self.missing_topic = None
