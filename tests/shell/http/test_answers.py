"""Large answers are made seldom and held in small pieces."""

import asyncio
import json
from collections import Counter
from types import SimpleNamespace

import aiohttp
import pytest

from connector.core.bonds.isin import with_check_digit
from connector.core.steps import finished
from connector.settings import HttpSettings
from connector.shell.http import HttpServer, answers
from connector.shell.http.answers import Reused, json_in_steps
from tests.shell.http.test_server import Observed

BIG = {"text": "x" * 12_000_000}  # more than the kernel holds for a connection


class Big(Observed):
    """A connector with much to show."""

    made = 0

    async def status(self):
        """Return a large status after some work."""
        self.made += 1
        await asyncio.sleep(0.02)
        return BIG


@pytest.fixture
async def server():
    """Return a server whose status is large."""
    one = HttpServer(HttpSettings(port=0), Big())
    await one.start()
    yield one
    await one.stop()


async def test_an_answer_is_reused_for_ten_times_what_making_it_took(monkeypatch):
    """A quick answer is hardly ever old, and a slow one takes a tenth of the time at most."""
    now, made = [0.0], []

    async def make():
        made.append(now[0])
        now[0] += 0.1
        return str(len(made)).encode()

    monkeypatch.setattr(answers, "monotonic", lambda: now[0])
    reused = Reused(make)
    found = []
    for _ in range(40):
        found.append(await reused.body())
        now[0] += 0.1
    assert found[0] == b"1"
    assert made == pytest.approx([0.0, 1.1, 2.2, 3.3], abs=0.15)


NUMBERED = {f"name {number}": {"x": [number] * 9} for number in range(99)}


@pytest.mark.parametrize(
    "document",
    [{}, {"a": {}}, {"a": 1, "b": None, "c": {"d": {"e": "\u2028"}}, "d": [{}]}, {"a": {}, "b": NUMBERED, "c": {}}],
)
def test_json_is_the_same_in_steps(document):
    """The text is what it would be in one step, whatever is empty, nested or long."""
    assert finished(json_in_steps(document)) == json.dumps(document).encode()


def test_a_long_status_takes_many_steps(monkeypatch):
    """No step encodes more than a quarter of the status of 20,000 bonds."""
    bonds = {
        with_check_digit(f"KR{number:09}"): {"state": "ACTIVE", "lists": ["desk"] * 20} for number in range(20_000)
    }
    lists = {f"list{place}": {"all": list(bonds)[:10_000]} for place in range(9)}
    step, encoded = 0, Counter()  # the latter in characters, by step

    def dumps(value):
        text = json.dumps(value)
        encoded[step] += len(text)
        return text

    monkeypatch.setattr(answers, "json", SimpleNamespace(dumps=dumps))
    for step, _ in enumerate(json_in_steps({"instruments": bonds, "lists": lists}), 1):  # noqa: B007 - `dumps` reads it
        pass
    assert max(encoded.values()) < encoded.total() / 4


async def test_many_readers_of_a_large_status_cost_one_making(server, monkeypatch):
    """Thirty requests at once get the whole status, which is made once or twice."""
    monkeypatch.setattr(answers, "READ_SECONDS", 60)  # together they read 360 MB
    url = f"http://127.0.0.1:{server.port}/status"

    async def read(client):
        async with client.get(url) as answer:
            assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
            assert answer.headers["Cache-Control"] == "no-store"
            return len(await answer.read())

    async with aiohttp.ClientSession() as client:
        assert await asyncio.gather(*(read(client) for _ in range(30))) == [len(json.dumps(BIG))] * 30
        async with client.head(url) as answer:
            assert int(answer.headers["Content-Length"]) > 12_000_000
    assert server._observed.made <= 3


async def test_an_unread_answer_holds_little_memory_and_is_given_up(server, monkeypatch):
    """Forty clients that read nothing hold a piece each, and are soon disconnected."""
    monkeypatch.setattr(answers, "READ_SECONDS", 1)
    clients = []
    try:
        for _ in range(40):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
            clients.append(writer)
            writer.write(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(30):
            while not any(_unread(server)):
                await asyncio.sleep(0.01)
            while server._connections._open:
                assert max(_unread(server)) < 4 * answers.PIECE_BYTES
                await asyncio.sleep(0.01)
    finally:
        for writer in clients:
            writer.close()


def _unread(server):
    return [each.get_write_buffer_size() for each in server._connections._open]
