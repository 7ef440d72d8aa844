"""Runs every part in one task group, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Never

import structlog

from connector.shell.kafka.last_answer import silence

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from connector.app.build import Parts
    from connector.app.report import Report
    from connector.errors import CredentialsRefused

log = structlog.get_logger("connector.app")

DRAIN_FIRST_SECONDS: Final = 0.3  # how long a stop delivers frames before it hands over its slots
ACKNOWLEDGE_SECONDS: Final = 2.0  # how long a stop waits for the last status records and events


class Connector:
    """One connector with all its parts; `port` is its HTTP port."""

    def __init__(self, parts: Parts, report: Report, port: int) -> None:
        self._parts = parts
        self._stop = parts.stop
        self._has_left_kis = asyncio.Event()
        self.journal = parts.journal
        self.delivery = parts.delivery
        self.report = report
        self.port = port

    @property
    def refusal(self) -> CredentialsRefused | None:
        """Why KIS refused every app key at the start, or None if it did not."""
        return self._stop.refusal

    def stop(self) -> None:
        """Ask for an orderly stop, as SIGTERM does."""
        self._stop.ask("asked")

    async def run(self) -> None:
        """Run every part until a stop is asked for.

        While KIS or Kafka cannot be reached, the parts that need it wait.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for name, task in self._tasks().items():
                    group.create_task(task, name=name)
        except* _Stopped:
            pass
        if (current := asyncio.current_task()) and current.cancelling():
            current.uncancel()  # the group's own request; older Pythons' timeouts would take it for ours
        # The disk may hang; what it does not take in time, closing the journal waits for again.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                await self._parts.event_topic.save(self.journal)
        log.info("stopped", pending=self.journal.pending)

    def _tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        parts, plan = self._parts, self._parts.plan
        return {
            "slots": parts.slots.run(self.journal, plan.are_limits_known, plan.learned_limit, plan.update_slots),
            "delivery": self.delivery.run(),
            "lists": plan.read(),
            "plan": plan.run(),
            "saved-lists": plan.save_lists(),
            "wanted-events": parts.wanted_events.run(),
            "undelivered": parts.undelivered.run(),
            "status": plan.status_topic.run(),
            "events": parts.event_topic.run(),
            "saved-events": parts.event_topic.save_waiting(self.journal),
            "secrets": parts.secret_watch.run(),
            "loop-lag": parts.loop_lag.run(),
            "topics": parts.topic_check.run(),
            "coverage": parts.watched_coverage.run(),
            "partitions": parts.partition_watch.run(),
            "stop": self._stop_when_asked(),
        }

    async def _stop_when_asked(self) -> Never:
        """When a stop is asked for, leave in order.

        Leave at once if the stop becomes urgent, and without more waiting for Kafka if no broker
        answers. The journal keeps the frames that are not delivered by then.
        """
        await self._stop.is_asked.wait()
        log.info("stopping", reason=self._stop.reason, pending=self.journal.pending)
        self._parts.plan.pause()
        ending = [
            asyncio.create_task(self._leave(), name="leave"),
            asyncio.create_task(self._stop.is_urgent.wait(), name="at-once"),
            asyncio.create_task(self._kafka_is_silent(), name="kafka-is-silent"),
        ]
        try:
            done, _ = await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ending:
                task.cancel()
        for task in done:
            task.result()  # raises if leaving failed
        raise _Stopped

    async def _leave(self) -> None:
        """Leave KIS, publish the last status, hand over the slots and deliver pending frames."""
        parts = self._parts
        await parts.slots.stop()
        self.journal.report_losses()
        self._has_left_kis.set()
        # So that the slots' last records can say that nothing is undelivered.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_FIRST_SECONDS):
                await self.delivery.drained(self.journal.last_seq)
        # The next owner's records must come after ours, so we first wait until Kafka has ours.
        await parts.plan.say_goodbye(ACKNOWLEDGE_SECONDS)
        await parts.slots.hand_over()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(parts.settings.delivery.stop_deadline_seconds):
                await self.delivery.drained(self.journal.last_seq)
        await parts.event_topic.wait_until_written(ACKNOWLEDGE_SECONDS)

    async def _kafka_is_silent(self) -> None:
        """Return once we have left KIS, and no broker has answered for the time in the settings.

        The next start then connects to KIS the sooner, and delivers what the journal keeps. With a
        time that is not shorter than the stop's deadline, only the deadline counts.
        """
        await self._has_left_kis.wait()
        settings = self._parts.settings.delivery
        seconds = settings.stop_silence_seconds
        if seconds >= settings.stop_deadline_seconds:
            await asyncio.Event().wait()
        await silence(seconds)
        log.warning("kafka_silent", seconds=seconds, pending=self.journal.pending)


class _Stopped(Exception):
    """Ends the task group after an orderly stop."""
