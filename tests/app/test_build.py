"""The parts are made once and know one another."""

import asyncio
import contextlib
import signal
import threading
from types import SimpleNamespace

import aiohttp
import pytest
import structlog

from connector.app import build, opened
from connector.core.event import Event
from connector.errors import CredentialsRefused
from connector.shell.journal import opening, start
from connector.shell.journal.folder import Folder
from tests.app.settings import settings_of_one
from tests.kafka.process import free_ports

AT = "2026-01-02T00:00:00.000Z"


@pytest.mark.parametrize("was_up", [True, False])
async def test_a_key_refused_while_running_ends_nothing(tmp_path, was_up):
    """Refused app keys end the process only if no session was ever open."""
    async with opened(settings_of_one(tmp_path)) as connector:
        parts = connector.report._parts
        if was_up:
            parts.events.record(Event("session_up", AT, 0, None, {}))
        assert parts.slots.refusal is None, "nothing runs yet"
        parts.slots.feeds[0] = SimpleNamespace(refused=CredentialsRefused("EGW00103"))
        parts.plan._on_round()
        assert (connector.refusal is None, parts.stop.reason is None) == (was_up, was_up)


async def test_the_port_is_the_one_that_is_bound(tmp_path):
    """With `http.port` 0 the system chooses, and the connector says which."""
    async with opened(settings_of_one(tmp_path)) as connector:
        assert connector.port > 0


async def test_a_run_ends_with_zero_and_gives_the_signals_back(tmp_path):
    """`run` ends on SIGTERM with 0 if nothing is pending, and restores the signal handlers."""
    before = signal.getsignal(signal.SIGTERM)
    code = await build.run(settings_of_one(tmp_path), lambda _: signal.raise_signal(signal.SIGTERM))
    assert code == 0
    assert signal.getsignal(signal.SIGTERM) == before


async def test_a_stop_while_another_process_holds_the_journal_is_obeyed_at_once(tmp_path):
    """SIGTERM ends a start that waits for the lock with 0, because nothing was received."""
    held = Folder(tmp_path / "journal")
    assert held.lock() is None
    with structlog.testing.capture_logs() as logs:
        starting = asyncio.create_task(build.run(settings_of_one(tmp_path), lambda _: None))
        async with asyncio.timeout(30):
            while not any(entry["event"] == "journal_held" for entry in logs):
                await asyncio.sleep(0.01)
        async with asyncio.timeout(30):
            signal.raise_signal(signal.SIGTERM)
            assert await starting == 0
    held.close()


@pytest.mark.parametrize("step", ["place", "Folder", "look", "recover"])
async def test_a_stop_while_the_disk_hangs_at_the_start_is_obeyed(tmp_path, monkeypatch, step):
    """SIGTERM ends such a start with 6: nobody knows whether the journal holds frames."""
    hangs, ends = threading.Event(), threading.Event()
    monkeypatch.setattr(opening, step, lambda *_: hangs.set() or ends.wait())
    monkeypatch.setattr(start, "SLOW_SECONDS", 0.1)
    with structlog.testing.capture_logs() as logs:
        starting = asyncio.create_task(build.run(settings_of_one(tmp_path), lambda _: None))
        async with asyncio.timeout(10):
            while not hangs.is_set():
                await asyncio.sleep(0.01)
            signal.raise_signal(signal.SIGTERM)
            assert await starting == 6
    assert logs[-1]["journal"] == "not opened"
    ends.set()


async def test_it_is_alive_while_another_process_holds_the_journal(tmp_path):
    """While the start waits for the lock, `/livez` answers 200, and `/readyz` says why it waits."""
    (port,) = free_ports(1)
    settings = settings_of_one(tmp_path)
    settings = settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})
    held = Folder(tmp_path / "journal")
    assert held.lock() is None
    starting = opened(settings)
    task = asyncio.create_task(starting.__aenter__())
    async with asyncio.timeout(30), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        while True:
            with contextlib.suppress(aiohttp.ClientConnectorError):
                async with (
                    client.get("/livez") as alive,
                    client.get("/readyz") as ready,
                    client.get("/status") as status,
                ):
                    assert alive.status == status.status == 200
                    assert ready.status == 503
                    assert (await ready.json())["reasons"] == ["the journal is not open yet"]
                    assert (await status.json())["ready"] is False
                    break
            await asyncio.sleep(0.01)
        async with client.get("/metrics") as metrics:
            assert await metrics.text() == ""
        assert not task.done()
        held.close()
        connector = await task
        assert connector.port == port
        async with client.get("/status") as status:
            assert "slots" in await status.json()
    await starting.__aexit__(None, None, None)


@pytest.mark.parametrize(("coordination", "is_taken_over"), [("group", True), ("standalone", False)])
async def test_only_slots_of_a_group_are_taken_over(tmp_path, coordination, is_taken_over):
    """Only where replicas share app keys may the first refusals be those of an earlier owner."""
    settings = settings_of_one(tmp_path)
    replicas = settings.replicas.model_copy(update={"coordination": coordination})
    async with opened(settings.model_copy(update={"replicas": replicas})) as connector:
        feed = connector.report._parts.slots._new_feed(0, None, None)
        assert feed._session._backoff._taken_over is is_taken_over
