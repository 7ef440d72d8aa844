"""Warns at the start of topics that may lose records which Kafka has acknowledged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

from connector.core.topic_plan import not_durable
from connector.shell.kafka.admin import TopicAdmin
from connector.shell.kafka.waiting import raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = structlog.get_logger("connector.app")

RETRY_SECONDS: Final = 300


class TopicCheck:
    """Looks at the topics once, and tries again until Kafka answers; no other part waits for it."""

    def __init__(self, names: Mapping[str, str], client_arguments: Callable[[], Mapping[str, Any]]) -> None:
        self._names = names
        self._client_arguments = client_arguments

    async def run(self) -> None:
        """Warn of each topic that is not durable."""
        while True:
            try:
                async with TopicAdmin.connect(self._client_arguments()) as admin:
                    found = not_durable(
                        self._names, await admin.brokers(), await admin.find(list(self._names.values()))
                    )
            except Exception as error:  # noqa: BLE001 - a bug of Kafka's client must not end the connector
                raise_if_cancelled()
                log.info("topics_not_looked_at", cause=type(error).__name__, error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for each in found:
                log.warning("topic_not_durable", topic=each.topic, problem=each.message)
            return
