"""Bad-input matrix, the registry: frames are captured, and delivered once it answers well."""

import asyncio
import json

import pytest
from aiohttp import web

from connector.settings import RegistrySettings
from connector.shell import registry, registry_http
from connector.shell.delivery import Delivery, delivery
from tests.bad_input.inputs import RECORD
from tests.bad_input.test_frames import SCHEMA
from tests.shell.delivery.fake_kafka import TICKS, Brokers
from tests.shell.delivery.frames import MemoryJournal, frame
from tests.shell.kis.bench import until

SUBJECT = "bond.ticks-value"
HTML = "<html><body>canary</body></html>"


def problem(status, code, text="no"):
    """Return an error as a registry writes it."""
    return status, json.dumps({"error_code": code, "message": text}), {}


# The answer to the look-up (status, body, headers), and what delivery says it is waiting for.
ANSWERS = {
    "down": (None, "REG_UNREACHABLE"),
    "slow": ("hang", "REG_TIMEOUT"),
    "401": (problem(401, 401), "REG_REFUSED"),
    "403": (problem(403, 403), "REG_REFUSED"),
    "404 subject": (problem(404, 40401), "REG_SUBJECT"),
    "404 schema": (problem(404, 40403), "REG_SUBJECT"),
    "404 of a wrong path": ((404, HTML, {}), "REG_PATH"),
    "409 incompatible": (problem(409, 409, "incompatible"), "REG_INCOMPATIBLE"),
    "422": (problem(422, 42201), "REG_SCHEMA"),
    "429": (problem(429, 429), "REG_FAILED"),
    "500": ((500, HTML, {}), "REG_FAILED"),
    "redirect": ((307, "", {"Location": "/elsewhere"}), "REG_REDIRECT"),
    "HTML": ((200, HTML, {}), "REG_ANSWER"),
    "empty": ((200, "", {}), "REG_ANSWER"),
    "JSON array": ((200, "[7]", {}), "REG_ANSWER"),
    "deep nesting": ((200, "[" * 100_000, {}), "REG_ANSWER"),
    "no id": ((200, "{}", {}), "REG_ID"),
    "id a text": ((200, '{"id": "7"}', {}), "REG_ID"),
    "id true": ((200, '{"id": true}', {}), "REG_ID"),
    "id negative": ((200, '{"id": -1}', {}), "REG_ID"),
    "id of five bytes": ((200, '{"id": 4294967296}', {}), "REG_ID"),
    "two mebibytes": ((200, " " * 2**21, {}), "REG_ANSWER"),
}


class Registry:
    """Answers every request with `answer`; None resets the connection, "hang" never answers."""

    def __init__(self):
        self.answer = None
        self.asked = []

    async def handle(self, request):
        self.asked.append(f"{request.method} {request.path}")
        if self.answer is None:
            request.transport.abort()
            raise asyncio.CancelledError
        if self.answer == "hang":
            await asyncio.Event().wait()
        status, body, headers = self.answer
        return web.Response(status=status, text=body, headers=headers)


@pytest.fixture
async def bench(monkeypatch):
    """Return a delivery that gets its framing from a registry, with journal and brokers."""
    monkeypatch.setattr(registry_http, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(delivery, "RETRY_SECONDS", (0.05,))
    one = Bench()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", one.registry.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.settings = RegistrySettings(url=f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield one
    await one.end()
    await runner.cleanup()


class Bench:
    """A delivery with all it needs; `memory` holds the journal's saved texts."""

    def __init__(self):
        self.registry, self.brokers, self.journal, self.memory = Registry(), Brokers(), MemoryJournal(), {}
        self.settings = None
        self.tasks = []

    def start(self):
        """Start delivery, as after a restart: only journal and memory remain."""
        self.delivery = Delivery(self.journal, SCHEMA, self.brokers.kafka(), self._framing)
        self.tasks.append(asyncio.create_task(self.delivery.run()))

    async def end(self):
        """End every delivery."""
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)

    async def delivered(self, count):
        """Wait for this many ticks and return their schema ids in order."""
        async with asyncio.timeout(30):
            await self.delivery.drained(len(self.journal.frames))
        values = [record.value for (topic, _), log in self.brokers.logs.items() if topic == TICKS for record in log]
        assert len(values) == count
        return [int.from_bytes(value[1:5]) for value in values]

    async def _framing(self):
        found = await registry.schema_id(self.settings, SUBJECT, SCHEMA.text, self._saved, self._save)
        return b"\x00" + found.to_bytes(4)

    async def _saved(self, name):
        return self.memory.get(name)

    async def _save(self, name, value):
        self.memory[name] = value


@pytest.mark.parametrize("name", ANSWERS)
async def test_delivery_waits_and_encodes_later_from_the_journal(bench, name):
    """A bad first answer makes delivery wait and say so; all frames are delivered later."""
    bench.registry.answer, words = ANSWERS[name]
    bench.start()
    await until(lambda: words in (bench.delivery.waiting_for or ""), lambda: bench.delivery.waiting_for)
    bench.journal.append(*[frame(RECORD) for _ in range(3)])
    await until(lambda: len(bench.registry.asked) >= 2)
    assert bench.journal.watermark == 0
    assert "canary" not in bench.delivery.waiting_for
    bench.registry.answer = (200, '{"id": 7}', {})
    assert await bench.delivered(3) == [7, 7, 7]
    assert f"POST /subjects/{SUBJECT}/versions" not in bench.registry.asked


@pytest.mark.parametrize("name", [name for name in ANSWERS if not name.startswith("404 s")])
async def test_the_saved_id_is_used(bench, name):
    """After a restart, the saved id of the same schema is used while answers are bad."""
    bench.registry.answer = (200, '{"id": 7}', {})
    bench.journal.append(frame(RECORD))
    bench.start()
    assert await bench.delivered(1) == [7]
    await bench.end()
    bench.registry.answer = ANSWERS[name][0]
    bench.journal.append(frame(RECORD))
    bench.start()
    assert await bench.delivered(2) == [7, 7]


@pytest.mark.parametrize("name", [name for name in ANSWERS if name.startswith("404 s")])
async def test_a_saved_id_gives_way_to_the_registrys_own_no(bench, name):
    """If the registry says that it lacks the schema, the saved id is not used."""
    bench.registry.answer = (200, '{"id": 7}', {})
    bench.start()
    await until(lambda: bench.memory)
    await bench.end()
    bench.registry.answer, words = ANSWERS[name]
    bench.journal.append(frame(RECORD))
    bench.start()
    await until(lambda: words in (bench.delivery.waiting_for or ""), lambda: bench.delivery.waiting_for)
    assert bench.journal.watermark == 0
    assert f"POST /subjects/{SUBJECT}/versions" not in bench.registry.asked


async def test_a_saved_id_of_another_schema_is_not_used(bench):
    """An id saved for another fingerprint does not frame our ticks."""
    bench.memory[f"registry-id/{SUBJECT}"] = json.dumps({"id": 9, "fingerprint": "of another schema"})
    bench.journal.append(frame(RECORD))
    bench.start()
    await until(lambda: "could not be reached" in (bench.delivery.waiting_for or ""))
    bench.registry.answer = (200, '{"id": 7}', {})
    assert await bench.delivered(1) == [7]


async def test_an_id_of_another_schema_makes_delivery_wait(bench):
    """A configured id of another schema is refused with the name of the setting."""
    bench.settings = bench.settings.model_copy(update={"schema_id": 5})
    bench.registry.answer = (200, json.dumps({"schema": '"string"'}), {})
    bench.journal.append(frame(RECORD))
    bench.start()
    await until(lambda: "correct registry.schema_id" in (bench.delivery.waiting_for or ""))
    assert bench.journal.watermark == 0
