"""Reading today's coverage while somebody looks."""

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress
from datetime import date
from functools import partial
from itertools import repeat

import pytest
from confluent_kafka import Producer
from structlog.testing import capture_logs

from connector.app import watched_coverage
from connector.app.watched_coverage import WatchedCoverage
from connector.settings import KafkaSettings
from connector.shell.kafka.arguments import client_arguments
from tests.cli.coverage_records import A, B, hole, record
from tests.core.coverage.trades import FRIDAY, MONDAY, at
from tests.kafka.reader import QUIET, create_topics


@asynccontextmanager
async def watching(kafka, topic, now=None):
    """Run a reader whose clock shows noon of a Friday, or what the list `now` holds."""
    clock = [at("12:00")] if now is None else now
    arguments = partial(client_arguments, KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), "test")
    watched = WatchedCoverage(topic, arguments, lambda: clock[0])
    task = asyncio.create_task(watched.run())
    try:
        yield watched
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition):
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(30):
        while not (found := condition()):
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
def topic(kafka, topic_names):
    """Create a coverage topic with two partitions."""
    create_topics(kafka.bootstrap_servers, {topic_names.coverage: 2})
    return topic_names.coverage


@pytest.fixture
def write(kafka, topic):
    """Return a function that writes a record of a bond with another client."""
    producer = Producer(QUIET | {"bootstrap.servers": kafka.bootstrap_servers})

    def to_topic(isin, value, day=FRIDAY):
        producer.produce(topic, json.dumps(value), f"{isin}/{day}")
        assert producer.flush(20) == 0

    return to_topic


async def test_what_the_auditors_wrote_is_read_and_followed(kafka, topic, write):
    """It has each bond's latest record of today, their sums, and when the last was written."""
    await asyncio.to_thread(write, A, record("HOLES", holes=[hole(100, 350)], by=None))
    await asyncio.to_thread(write, B, record(), date(2026, 9, 10))
    async with watching(kafka, topic) as watched:
        assert watched.look() == {}
        found = await until(watched.look)
        assert found["days"].keys() == {A}
        assert (found["coverage"]["missing_volume"], found["coverage"]["states"]) == (250, {"HOLES": 1})
        written = watched_coverage.dates.parsed_ms(found["coverage"]["written_at"])
        assert abs(written - time.time() * 1000) < 60_000
        await asyncio.to_thread(write, B, record())
        await until(lambda: watched.look()["days"].keys() == {A, B})


async def test_nothing_is_read_unless_somebody_looks(kafka, topic, write, monkeypatch):
    """Reading begins with a look, ends some time after the last one, and begins again."""
    opened = []
    original = watched_coverage.one_topic.opened
    monkeypatch.setattr(watched_coverage.one_topic, "opened", lambda *given: opened.append(1) or original(*given))
    monkeypatch.setattr(watched_coverage, "WATCHED_SECONDS", 3.0)
    await asyncio.to_thread(write, A, record())
    async with watching(kafka, topic) as watched:
        await asyncio.sleep(0.2)
        assert opened == []
        await until(watched.look)
        await until(lambda: not watched._is_wanted.is_set())
        await until(watched.look)
        assert len(opened) == 2


async def test_at_midnight_the_next_day_begins(kafka, topic, write):
    """The records of yesterday are dropped."""
    await asyncio.to_thread(write, A, record())
    await asyncio.to_thread(write, B, record() | {"trade_date": "2026-09-14"}, MONDAY)
    now = [at("23:59")]
    async with watching(kafka, topic, now) as watched:
        assert (await until(watched.look))["days"].keys() == {A}
        now[0] = at("00:00", MONDAY)
        await until(lambda: watched.look().get("days", {}).keys() == {B})


async def test_a_missing_topic_shows_nothing_and_stops_nobody(kafka, topic_names):
    """A connector without an auditor needs no coverage topic; once it is there, it is read."""
    with capture_logs() as logs:
        async with watching(kafka, topic_names.coverage) as watched:
            watched.look()
            await until(lambda: any(line["event"] == "coverage_not_shown" for line in logs))
            assert watched.look() == {}
            create_topics(kafka.bootstrap_servers, {topic_names.coverage: 1})
            await until(lambda: watched._is_read)
            assert watched.look() == {}, "nobody audits"


async def test_no_foreign_error_ends_it(monkeypatch):
    """Whatever Kafka's client raises, the next try comes."""
    tries = []

    def fail():
        tries.append(1)
        raise ZeroDivisionError("a bug of a client")

    monkeypatch.setattr(watched_coverage, "pauses", lambda: repeat(0.01))
    watched = WatchedCoverage("topic", fail)
    task = asyncio.create_task(watched.run())
    watched.look()
    await until(lambda: len(tries) > 2)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
