"""Finds out what the broker's answers to fetches say of a partition that is followed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition


class FetchAnswers:
    """What the broker answered so far.

    aiokafka notes the wall clock's time of each answered fetch. We use only the fact that the time
    changed. `silent_seconds` is how long we had waited for an answer when the last poll ended, even
    if it ended with an answer. `is_deleted` is true once the broker did not know the topic.
    """

    def __init__(self, consumer: AIOKafkaConsumer, topic: TopicPartition) -> None:
        self._consumer = consumer
        self._topic = topic
        self._position: int | None = None
        self._stamp: int | None = None
        self._heard_at = self._noted_at = time.monotonic()
        self._held_up_at: float | None = None
        self._empty = 0
        self.silent_seconds = 0.0
        self.is_deleted = False
        # When a fetch fails because the topic is unknown, aiokafka only asks for new metadata.
        consumer._client.cluster.add_listener(self._note_metadata)  # noqa: SLF001 - no public way; the version is pinned

    def _note_metadata(self, cluster: Any) -> None:
        known = {*cluster.topics(), *cluster.unauthorized_topics}
        self.is_deleted = self.is_deleted or self._topic.topic not in known

    def wait(self) -> None:
        """Record that a poll begins; while we processed records, we waited for no answer."""
        self._heard_at += time.monotonic() - self._noted_at

    def note(self, position: int, *, empty: bool) -> None:
        """Record the position after a poll, and whether the poll returned no records."""
        stamp = self._consumer.last_poll_timestamp(self._topic)
        is_answer = stamp != self._stamp
        self._noted_at = time.monotonic()
        self.silent_seconds = self._noted_at - self._heard_at
        if is_answer:
            self._heard_at = self._noted_at
        if not empty or position != self._position:
            self._empty = 0
        elif is_answer:
            self._empty += 1
        self._stamp = stamp
        self._position = position
        stable, highwater = self._consumer.last_stable_offset(self._topic), self._consumer.highwater(self._topic)
        if stable is None or not stable <= position < highwater:
            self._held_up_at = None
        elif self._held_up_at is None:
            self._held_up_at = self._noted_at

    @property
    def held_up_seconds(self) -> float:
        """For how long an open transaction has held up everything after our position."""
        return 0.0 if self._held_up_at is None else time.monotonic() - self._held_up_at

    @property
    def lag(self) -> int | None:
        """The offsets from our position to the high watermark, or None before the first answer."""
        highwater = self._consumer.highwater(self._topic)
        if highwater is None or self._position is None:
            return None
        return 0 if self.nothing_follows(highwater) else max(0, highwater - self._position)

    def nothing_follows(self, end: int) -> bool:
        """Whether the broker's log reaches `end`, and two fetches at our position found nothing.

        One empty answer is not enough, because it may have been in aiokafka's buffer already.
        """
        stable = self._consumer.last_stable_offset(self._topic)
        return self._empty >= 2 and stable is not None and stable >= end
