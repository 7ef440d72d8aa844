"""Makes every part of an auditor once, each from the parts made before it."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from connector.app.audit.auditor import Auditor, CoverageKafka, Rules
from connector.app.audit.backfill import Backfill
from connector.app.audit.metrics import AUDIT_CATALOGUE
from connector.app.audit.report import AuditParts, AuditReport
from connector.app.audit.rest_round import RestRound
from connector.app.audit.running import RunningAuditor
from connector.app.audit.todays_coverage import TodaysCoverage
from connector.app.metrics import Metrics
from connector.app.stop import Stop
from connector.core import market_calendar
from connector.core.coverage.tick_values import TickValues
from connector.core.ticks.avro import TickSchema, registry_prefix
from connector.errors import ConfigurationError
from connector.packaged_files import bond_tick
from connector.shell import registry
from connector.shell.coverage import FactTopics, TickGroup, read_partition
from connector.shell.http import HttpServer
from connector.shell.kafka import clients
from connector.shell.kafka.arguments import client_arguments
from connector.shell.kafka.record_writer import RecordWriter
from connector.shell.kis.credentials import Credentials, app_key_problems
from connector.shell.kis_rest import RestClient
from connector.shell.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from connector.core.coverage.dates import IsTradingDay
    from connector.settings import Settings


async def run(
    settings: Settings, on_ready: Callable[[int], None], is_trading_day: IsTradingDay = market_calendar.is_trading_day
) -> None:
    """Run until SIGTERM or SIGINT. `on_ready` gets the HTTP port. Raises ConfigurationError."""
    stop = Stop()
    with stop.on_signals():
        async with opened(settings, stop, is_trading_day) as auditor:
            on_ready(auditor.port)
            await auditor.run()


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, stop: Stop | None = None, is_trading_day: IsTradingDay = market_calendar.is_trading_day
) -> AsyncIterator[RunningAuditor]:
    """Yield an auditor that does not run yet; its HTTP port is bound. Raises ConfigurationError."""
    rest = rest_client(settings)
    parts, writers = _make_parts(settings, stop or Stop(), rest, is_trading_day)
    report = AuditReport(parts, Metrics(parts, AUDIT_CATALOGUE))
    http = HttpServer(settings.http.model_copy(update={"port": settings.audit.http_port}), report)
    await http.start()
    try:
        yield RunningAuditor(parts, report, http.port)
    finally:
        for writer in writers:
            await writer.close()
        await http.stop()


def rest_client(settings: Settings) -> RestClient | None:
    """Return a client for KIS's REST calls, or None if no app keys are given for them.

    Raises ConfigurationError with every mistake of the app keys.
    """
    folder = settings.audit.credentials_dir
    if folder is None:
        return None
    kis = settings.kis.model_copy(update={"credentials_dir": folder, "appkey": None, "appsecret": None})
    if problems := app_key_problems(settings.model_copy(update={"kis": kis})):
        raise ConfigurationError([each.replace("kis.credentials_dir", "audit.credentials_dir") for each in problems])
    return RestClient(settings.audit, kis.customer_type, partial(Credentials(kis).read, 0), proxy=Proxy.of(kis))


def _make_parts(
    settings: Settings, stop: Stop, rest: RestClient | None, is_trading_day: IsTradingDay
) -> tuple[AuditParts, list[RecordWriter]]:
    topics, audit, kafka = settings.topics, settings.audit, settings.kafka
    arguments = partial(client_arguments, kafka, settings.kafka_client_id)
    producer = partial(clients.make_producer, kafka, settings.kafka_client_id)
    coverage, events, ticks = (RecordWriter(name, producer) for name in (topics.coverage, topics.events, topics.ticks))
    schema = TickSchema(bond_tick())
    auditor = Auditor(
        TickValues([schema.text], asks_registry=settings.registry.url is not None),
        partial(registry.schema_text, settings.registry),
        CoverageKafka(partial(read_partition, arguments, topics.coverage), coverage, events),
        Rules(round(audit.gap_wait_seconds * 1000), is_trading_day),
    )
    take = {topics.status: auditor.take_status, topics.events: auditor.take_event}
    facts = FactTopics(
        [topics.status],
        [topics.events, topics.dead_letters],
        arguments,
        lambda record: take.get(record.topic, auditor.take_letter)(record),
    )
    auditor.knows_facts = facts.restored.is_set
    counts = _Counts(settings)
    group = TickGroup((topics.ticks, topics.coverage), audit.group_id, arguments, counts.ask, auditor)
    backfill = Backfill(schema, partial(_framing, settings, schema), ticks)
    publish = backfill.publish if audit.backfill else None
    rounds = RestRound(auditor, lambda: counts.of_ticks, rest, publish)
    parts = AuditParts(settings, stop, auditor, TodaysCoverage(auditor), group, facts, rest, rounds)
    return parts, [coverage, events, ticks]


class _Counts:
    """Asks for the numbers of partitions; `of_ticks` is the tick topic's as last heard, or 0."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.of_ticks = 0

    async def ask(self) -> tuple[int, int]:
        """Return the numbers of partitions of the tick topic and of the coverage topic.

        Raises KafkaError, OSError and TimeoutError.
        """
        topics = self._settings.topics
        found = await clients.leaders(
            self._settings.kafka, self._settings.kafka_client_id, [topics.ticks, topics.coverage]
        )
        self.of_ticks = len(found.get(topics.ticks, ()))
        return self.of_ticks, len(found.get(topics.coverage, ()))


async def _framing(settings: Settings, schema: TickSchema) -> bytes:
    """Return the bytes before each datum, as the connector writes them."""
    if settings.registry.url is None:
        return schema.single_object_prefix
    saved: dict[str, str] = {}

    async def read(name: str) -> str | None:
        return saved.get(name)

    async def save(name: str, value: Any) -> None:
        saved[name] = value

    subject = f"{settings.topics.ticks}-value"
    return registry_prefix(await registry.schema_id(settings.registry, subject, schema.text, read, save))
