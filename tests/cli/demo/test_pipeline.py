"""Tests of the connector of a demo."""

import asyncio

import pytest

from connector import settings as configuration
from connector.cli.demo import kafka as demo_kafka
from connector.cli.demo import pipeline as module
from connector.cli.demo.pipeline import running
from connector.cli.demo.reader import Reader
from connector.core.ticks.avro import TickSchema
from connector.packaged_files import bond_tick
from simulator import Simulator


@pytest.fixture
async def pipeline(tmp_path):
    """Run a pipeline with one wanted bond on the embedded broker; it trades nothing by itself."""
    with demo_kafka.embedded() as address:
        keys = tmp_path / "rest-keys"
        keys.mkdir()
        for part in ("appkey", "appsecret"):
            (keys / f"{part}-0").write_text(f"an-{part}")
        async with Simulator(rate=0) as kis:
            variables = {
                "KIS__APPROVAL_URL": kis.approval_url,
                "KIS__WEBSOCKET_URL": kis.websocket_url,
                "KIS__APPKEY": "an-appkey",
                "KIS__APPSECRET": "an-appsecret",
                "KAFKA__BOOTSTRAP_SERVERS": address,
                "JOURNAL__PATH": tmp_path / "journal",
                "HTTP__PORT": 0,
                "AUDIT__HTTP_PORT": 0,
                "AUDIT__CREDENTIALS_DIR": keys,
                "AUDIT__REST_URL": kis.rest_url,
                "AUDIT__TOKEN_PATH": tmp_path / "token.json",
                "AUDIT__GAP_WAIT_SECONDS": 3,
                "AUDIT__BACKFILL": "true",
            }
            settings = configuration.load(None, {f"KIS_BOND_{name}": str(value) for name, value in variables.items()})
            await demo_kafka.write_first_list(settings, demo_kafka.first_bonds(1))
            with Reader(settings.kafka, settings.topics.ticks, TickSchema(bond_tick())) as reader:
                async with running(settings, kis, reader) as made:
                    yield made


async def until(condition):
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_registered_bond_trades_at_once_and_once(pipeline):
    """A bond gets one trade when it is registered, and no second one later."""
    await until(lambda: [record["state"] for record in pipeline.instruments().values()] == ["ACTIVE"])
    await pipeline.trade_new_bonds()
    await pipeline.trade_new_bonds()
    await until(lambda: pipeline.ledger().read_back == 1)
    assert pipeline.ledger().sent == 1


async def test_it_ends_in_order(pipeline):
    """At the end every tick is read back, and the connector has ended without being cancelled."""
    await until(pipeline.instruments)
    await pipeline.trade_new_bonds()
    await pipeline.end(20)
    assert pipeline.has_ended
    assert pipeline.ledger().differences() == []
    assert pipeline.trouble == ""
    assert pipeline.ledger().covered_volume == pipeline.ledger().accumulated_volume


async def test_a_stop_that_was_asked_for_is_no_problem(pipeline, monkeypatch):
    """While the connector stops at the demo's end, no problem is reported."""
    await until(lambda: [record["state"] for record in pipeline.instruments().values()] == ["ACTIVE"])
    seen, stop = [], pipeline._connector.stop

    def stop_and_look():
        stop()
        seen.append((pipeline._connector.report.readiness(), pipeline.problems()))

    monkeypatch.setattr(pipeline._connector, "stop", stop_and_look)
    await pipeline.end(20)
    assert seen == [((["stopping: asked"], []), [])]


async def trade(pipeline, *, heard=True):
    """Trade the bond once; a trade that is not heard is only in KIS's list."""
    kis, (isin,) = pipeline._kis, pipeline.instruments()
    if not heard:
        kis.faults.set("missing=1")
    await kis.emit_ticks(isin)
    kis.faults.clear()


async def test_the_end_waits_for_a_hole_that_is_still_new(pipeline):
    """A hole without an id is filled, too, though every earlier hole of its bond was filled."""
    await until(lambda: [record["state"] for record in pipeline.instruments().values()] == ["ACTIVE"])
    for heard in (True, False, True):
        await trade(pipeline, heard=heard)
    await until(lambda: pipeline.ledger().backfilled == 1)
    for heard in (False, True):
        await trade(pipeline, heard=heard)
    await pipeline.end(20)
    ledger, (isin,) = pipeline.ledger(), pipeline.instruments()
    assert (ledger.backfilled, ledger.covered_volume) == (2, pipeline._kis.accumulated(isin))
    assert pipeline.trouble == ""


async def test_an_auditor_without_partitions_has_not_read_to_the_end(pipeline, monkeypatch):
    """In a rebalance it knows of no hole. The end waits for it, though not for ever."""
    await until(lambda: [record["state"] for record in pipeline.instruments().values()] == ["ACTIVE"])
    await trade(pipeline)
    await until(lambda: pipeline.ledger().read_back == 1 and pipeline._is_audited())
    pipeline._auditor.parts.auditor.end_all()
    assert not pipeline._is_audited()
    monkeypatch.setattr(module, "REPAIR_SECONDS", 0.1)
    await pipeline.end(20)
    assert pipeline.trouble == "the auditor did not fill the holes in 0.1 s"


async def test_a_pipeline_that_does_not_drain(pipeline):
    """The wait for ticks under way has a deadline, and the reported problem is saved."""
    await until(pipeline.instruments)
    pipeline._kis.stats.frames += 1  # a frame that never arrives
    pipeline._reader.problem = "the broker went away"
    await pipeline.end(0.2)
    assert "the broker went away" in pipeline.trouble
    assert pipeline.ledger().differences()


async def test_http(pipeline):
    """The connector's endpoints are served as in production."""
    reader, writer = await asyncio.open_connection("127.0.0.1", pipeline.port)
    writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
    assert b"200 OK" in await reader.readline()
    writer.close()
    await writer.wait_closed()
