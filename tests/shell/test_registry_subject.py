"""A subject's level and versions, as a real registry and a fake one tell them."""

import json
import uuid

import pytest
from aiohttp import web

from connector.settings import RegistrySettings
from connector.shell.registry import register
from connector.shell.registry_http import RegistryFailed
from connector.shell.registry_subject import level, set_level, versions

SUBJECT = "bond.ticks-value"
SCHEMA = '{"type": "record", "name": "T", "fields": [{"name": "a", "type": "string"}]}'
OTHER = '{"type": "record", "name": "T", "fields": [{"name": "b", "type": "string"}]}'


@pytest.fixture
async def fake():
    """Give a registry whose answers, by method and path, the test sets."""
    answers = {}

    async def handle(request):
        status, content = answers.get(f"{request.method} {request.raw_path}", (404, {"error_code": 40401}))
        return web.json_response(content, status=status)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    answers["settings"] = RegistrySettings(url=f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield answers
    await runner.cleanup()


async def test_the_level_of_the_subject_counts_or_else_that_of_the_registry(fake):
    """A subject without a level has that of the registry."""
    fake["GET /config"] = (200, {"compatibilityLevel": "BACKWARD"})
    assert await level(fake["settings"], SUBJECT) == "BACKWARD"
    fake[f"GET /config/{SUBJECT}?defaultToGlobal=true"] = (200, {"compatibilityLevel": "FULL"})
    assert await level(fake["settings"], SUBJECT) == "FULL"


async def test_a_level_is_shown_as_one_bounded_line(fake):
    """Whatever a registry calls its level is cut, and cannot control a terminal."""
    fake[f"GET /config/{SUBJECT}?defaultToGlobal=true"] = (200, {"compatibilityLevel": "\x1b[2J" + "x " * 100_000})
    found = await level(fake["settings"], SUBJECT)
    assert found.isprintable()
    assert len(found) < 400


async def test_a_version_of_another_kind_has_no_text(fake):
    """A JSON Schema is a version without an Avro schema, even if its text is ours."""
    held = {"version": 1, "id": 7, "schema": SCHEMA, "schemaType": "JSON"}
    fake[f"GET /subjects/{SUBJECT}/versions/latest"] = (200, held)
    assert await versions(fake["settings"], SUBJECT) == [(1, 7, "")]


async def test_versions_that_were_deleted_are_skipped(fake):
    """The versions come latest first, without the numbers that are missing."""
    place = f"GET /subjects/{SUBJECT}/versions"
    fake[f"{place}/latest"] = (200, {"version": 3, "id": 9, "schema": OTHER})
    fake[f"{place}/2"] = (404, {"error_code": 40402})
    fake[f"{place}/1"] = (200, {"version": 1, "id": 7, "schema": SCHEMA})
    assert await versions(fake["settings"], SUBJECT) == [(3, 9, OTHER), (1, 7, SCHEMA)]


async def test_a_registry_that_refuses_is_an_error(fake):
    """A refused level is an error with the registry's code."""
    fake[f"PUT /config/{SUBJECT}"] = (422, {"error_code": 42203, "message": "Invalid compatibility level"})
    with pytest.raises(RegistryFailed, match="422"):
        await set_level(fake["settings"], SUBJECT, "x")


async def test_a_real_registry_tells_and_takes_a_level(registry_url):
    """An unknown subject has no versions and the registry's level; a level can be set."""
    settings, subject = RegistrySettings(url=registry_url), f"{uuid.uuid4().hex}-value"
    assert await versions(settings, subject) == []
    assert await level(settings, subject) == "NONE"
    first = await register(settings, subject, SCHEMA)
    second = await register(settings, subject, OTHER)
    found = await versions(settings, subject)
    assert [(each.number, each.schema_id) for each in found] == [(2, second), (1, first)]
    assert [json.loads(each.schema) for each in found] == [json.loads(OTHER), json.loads(SCHEMA)]
    await set_level(settings, subject, "FULL_TRANSITIVE")
    assert await level(settings, subject) == "FULL_TRANSITIVE"
