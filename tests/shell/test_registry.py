"""The client of the schema registry, against a fake registry and a real one."""

import asyncio
import base64
import json
import ssl
import subprocess
import uuid

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from connector.errors import ConfigurationError, NotInTime
from connector.logs import clean, hide
from connector.packaged_files import bond_tick
from connector.settings import RegistrySettings
from connector.shell import registry, registry_http
from connector.shell.registry import register, schema_id, schema_text
from connector.shell.registry_http import RegistryFailed
from tests.kafka.process import free_ports
from tests.two_addresses import NAME, resolve, swallowing

SCHEMA = '{"type": "record", "name": "T", "fields": [{"name": "a", "type": "string", "doc": "why"}]}'
SUBJECT = "bond.ticks-value"
NOT_THERE = {"error_code": 40401, "message": "Subject not found"}


class Memory(dict):
    """Returns from `saved` what `save` was given."""

    async def saved(self, name):
        return self.get(name)

    async def save(self, name, value):
        self[name] = value


class FakeRegistry:
    """Answers each "METHOD path" with its entry in `answers`, else 500; collects the requests."""

    def __init__(self):
        self.answers = {}
        self.requests = []

    async def handle(self, request):
        self.requests.append((f"{request.method} {request.raw_path}", request.headers, await request.text()))
        answer = self.answers.get(f"{request.method} {request.raw_path}", web.Response(status=500))
        if callable(answer):
            return await answer(request)
        if isinstance(answer, dict):
            return web.json_response(answer)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


@pytest.fixture
async def fake():
    """Give a registry whose answers the test sets."""
    server = FakeRegistry()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


LOOK_UP = f"POST /subjects/{SUBJECT}"
REGISTER = f"POST /subjects/{SUBJECT}/versions"
VERSION = f"GET /subjects/{SUBJECT}/versions"
IN_OTHER_WORDS = [
    json.dumps(json.loads(SCHEMA), indent=4),
    json.dumps(json.loads(SCHEMA), sort_keys=True),
    SCHEMA.replace("why", "\\u0077hy"),
]


def _error(status, code=None, message="no"):
    return web.json_response({"error_code": code or status * 100, "message": message}, status=status)


def _nobody():
    """Return a URL where nobody answers."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


async def _ask(url, memory=None, **settings):
    memory = Memory() if memory is None else memory
    return await schema_id(RegistrySettings(url=url, **settings), SUBJECT, SCHEMA, memory.saved, memory.save)


async def test_the_id_is_the_one_of_exactly_our_schema(fake):
    """The id of the whole schema under the subject is looked up, and nothing is registered."""
    fake.answers[LOOK_UP] = {"id": 7, "version": 3, "schema": SCHEMA}
    assert await _ask(fake.url) == 7
    [(asked, headers, body)] = fake.requests
    assert (asked, json.loads(body)) == (LOOK_UP, {"schema": SCHEMA})
    assert "Authorization" not in headers


@pytest.mark.parametrize("code", [40401, 40403])
async def test_an_unknown_schema_is_not_registered_unasked(fake, code):
    """Without `auto_register`, an unknown schema is an error that names the command for it."""
    fake.answers |= {LOOK_UP: _error(404, code), f"{VERSION}/latest": _error(404, 40401)}
    with pytest.raises(RegistryFailed, match=f"registry at {fake.url} does not hold .*topics init --register-schema"):
        await _ask(f"{_nobody()},{fake.url}", Memory({"registry-id/" + SUBJECT: "{}"}))
    assert [asked for asked, _, _ in fake.requests] == [LOOK_UP, f"{VERSION}/latest"][: 1 + (code == 40403)]


async def test_an_unknown_schema_is_registered_if_allowed(fake):
    """With `auto_register`, an unknown schema is registered once and its id saved."""
    fake.answers |= {LOOK_UP: _error(404, 40401), REGISTER: {"id": 9}}
    memory = Memory()
    assert await _ask(fake.url, memory, auto_register=True) == 9
    assert [asked for asked, _, _ in fake.requests] == [LOOK_UP, REGISTER]
    fake.answers.clear()
    assert await _ask(fake.url, memory) == 9


@pytest.mark.parametrize("held", IN_OTHER_WORDS)
@pytest.mark.parametrize("auto_register", [False, True])
async def test_the_same_schema_in_other_words_is_found(fake, held, auto_register):
    """A version that differs in blanks, order or escapes is ours, and no twin is registered."""
    fake.answers |= {
        LOOK_UP: _error(404, 40403),
        REGISTER: {"id": 99},
        f"{VERSION}/latest": {"id": 8, "version": 4, "schema": SCHEMA.replace("why", "since")},
        f"{VERSION}/3": _error(404, 40402),
        f"{VERSION}/2": {"id": 6, "version": 2, "schema": held},
    }
    assert await _ask(fake.url, auto_register=auto_register) == 6
    assert await register(RegistrySettings(url=fake.url), SUBJECT, SCHEMA) == 6
    assert REGISTER not in [asked for asked, _, _ in fake.requests]


@pytest.mark.parametrize("kind", ["JSON", "PROTOBUF", ["AVRO"]])
async def test_the_same_text_as_a_schema_of_another_kind_is_not_ours(fake, kind):
    """A version or an id counts only as Avro, whatever its text says."""
    held = {"id": 8, "version": 1, "schema": SCHEMA, "schemaType": kind}
    fake.answers |= {LOOK_UP: _error(404, 40403), f"{VERSION}/latest": held, "GET /schemas/ids/8": held}
    with pytest.raises(RegistryFailed, match="does not hold this schema"):
        await _ask(fake.url)
    settings = RegistrySettings(url=fake.url)
    assert await schema_text(settings, 8) is None
    held["schemaType"] = "AVRO"
    assert await _ask(fake.url) == 8
    assert await schema_text(settings, 8) == SCHEMA


async def test_an_id_that_changes_is_told(fake):
    """Another id than before for the same schema is used, and the log says so once."""
    memory, answered = Memory(), []
    with capture_logs() as logs:
        for held in (7, 7, 9, 9):
            fake.answers[LOOK_UP] = {"id": held}
            answered.append(await _ask(fake.url, memory))
    assert answered == [7, 7, 9, 9]
    assert [(line["event"], line["before"], line["schema_id"]) for line in logs] == [("registry_id_changed", 7, 9)]


async def test_only_the_latest_versions_are_compared(fake):
    """A registry that claims a thousand million versions is not asked for each of them."""
    fake.answers |= {LOOK_UP: _error(404, 40403), f"{VERSION}/latest": {"id": 8, "version": 10**9, "schema": "{}"}}
    for version in range(10**9 - 100, 10**9):
        fake.answers[f"{VERSION}/{version}"] = {"id": 7, "version": 10**9, "schema": "{}"}
    with pytest.raises(RegistryFailed, match="does not hold this schema"):
        await _ask(fake.url)
    assert len(fake.requests) <= 1 + registry.MAX_VERSIONS


@pytest.mark.parametrize("secret", ["canary-of-ours"])
async def test_texts_of_the_registry_are_safe(fake, secret):
    """What a registry says is cut, without secrets and without characters that a terminal obeys."""
    hide(secret)
    fake.answers[LOOK_UP] = _error(409, message=f"\x1b]52;c;x\x07 {secret}\nforged " + "_" * 100_000)
    with pytest.raises(RegistryFailed) as caught:
        await _ask(fake.url)
    text = str(caught.value)
    assert text.isprintable()
    assert secret not in text
    assert len(text) < 700


async def _serve(answer):
    """Start a server that answers raw bytes; return it and its port."""

    async def handle(reader, writer):
        await reader.read(10)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("url", "answer", "cause"),
    [
        ("http://registry.invalid:8081", None, "the host name registry.invalid is unknown"),
        ("http://127.0.0.1:{closed}", None, "127.0.0.1:{closed} refused the connection: nothing listens there"),
        ("https://127.0.0.1:{open}", b"HTTP/1.1 400 Bad\r\n\r\n", "127.0.0.1:{open} does not speak TLS"),
        ("http://127.0.0.1:{open}", b"\x15\x03\x01\x00\x02\x02\x46", "127.0.0.1:{open} did not answer in HTTP"),
        ("http://127.0.0.1:{open}", b"", "closed the connection: use https://"),
    ],
)
async def test_each_cause_has_its_sentence(url, answer, cause):
    """Unknown host, closed port, TLS or none at the other end: each is named with what to do."""
    server, port = await _serve(answer or b"")
    ports = {"open": port, "closed": free_ports(1)[0]}
    with pytest.raises(RegistryFailed) as caught:
        await _ask(url.format(**ports))
    server.close()
    assert "could not be reached: " in str(caught.value)
    assert cause.format(**ports) in str(caught.value)


async def test_the_second_address_is_tried_while_the_first_swallows_connections(fake, monkeypatch):
    """A registry with two addresses is reached over the second within seconds (RFC 8305)."""
    resolve(monkeypatch)
    fake.answers[LOOK_UP] = {"id": 7}
    port = int(fake.url.rpartition(":")[2])
    with swallowing(port):
        async with asyncio.timeout(30):
            assert await _ask(f"http://{NAME}:{port}") == 7


async def test_a_registry_that_lost_the_schema_overrides_the_saved_id(fake):
    """A saved id is not used if the registry answers that it does not hold the schema."""
    fake.answers[LOOK_UP] = {"id": 7}
    memory = Memory()
    await _ask(fake.url, memory)
    fake.answers |= {LOOK_UP: _error(404, 40403), f"{VERSION}/latest": _error(404, 40402)}
    with pytest.raises(RegistryFailed, match="does not hold this schema"):
        await _ask(fake.url, memory)


HTML = web.Response(text="<html>hello</html>", content_type="text/html")
BAD_ANSWERS = {
    "401": (_error(401, message="Unauthorized"), "401 Unauthorized.*registry.password_file"),
    "403": (_error(403), "registry.username"),
    "404 of a wrong path": (
        web.Response(status=404, text="<html>", content_type="text/html"),
        "404.*check registry.url",
    ),
    "405": (web.Response(status=405), "check registry.url"),
    "409": (_error(409, message="incompatible: a"), "409 incompatible: a.*compatibility"),
    "422": (_error(422, 42201), "422"),
    "429": (_error(429), "429"),
    "503": (web.Response(status=503, text="busy"), "503"),
    "HTML": (HTML, "other than a JSON object"),
    "a JSON list": (web.json_response([1]), "other than a JSON object"),
    "deep JSON": (web.Response(text="[" * 100_000), "other than a JSON object"),
    "no id": ({"version": 1}, "without a usable id"),
    "true as id": ({"id": True}, "without a usable id"),
    "text as id": ({"id": "7"}, "without a usable id"),
    "negative id": ({"id": -1}, "without a usable id"),
    "id of five bytes": ({"id": 1 << 32}, "without a usable id"),
    "over a megabyte": (web.Response(body=b" " * (1 << 20) + b'{"id": 7}'), "over 1048576 bytes"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_a_bad_answer_says_what_to_do_and_leaves_the_saved_id(fake, name):
    """A bad answer is an error that says who gave it and what to check; a saved id is used."""
    answer, message = BAD_ANSWERS[name]
    fake.answers[LOOK_UP] = answer
    with pytest.raises(RegistryFailed, match=message) as caught:
        await _ask(fake.url)
    assert f": the schema registry at {fake.url} " in str(caught.value)
    assert caught.value.exit_code == NotInTime.exit_code
    memory = Memory()
    fake.answers[LOOK_UP] = {"id": 7}
    await _ask(fake.url, memory)
    fake.answers[LOOK_UP] = answer
    assert await _ask(fake.url, memory) == 7


async def test_a_redirect_is_not_followed(fake):
    """A redirect is an error that names the setting; no credentials are sent on."""
    fake.answers |= {
        LOOK_UP: web.Response(status=307, headers={"Location": "/elsewhere"}),
        "POST /elsewhere": {"id": 7},
    }
    with pytest.raises(RegistryFailed, match=r"redirect.*registry\.url"):
        await _ask(fake.url)
    assert len(fake.requests) == 1


async def test_a_slow_registry_is_given_up(fake, monkeypatch):
    """A registry that does not answer in time fails."""
    monkeypatch.setattr(registry_http, "TIMEOUT_SECONDS", 0.2)

    async def hang(_):
        await asyncio.Event().wait()

    fake.answers[LOOK_UP] = hang
    with pytest.raises(RegistryFailed, match="did not answer in"):
        await _ask(fake.url)


async def test_without_an_answer_only_the_id_of_the_same_schema_is_used(fake):
    """A saved id is used only for the same schema, subject and URL."""
    fake.answers[LOOK_UP] = {"id": 7}
    memory = Memory()
    await _ask(fake.url, memory)
    fake.answers.clear()
    assert await _ask(fake.url, memory) == 7
    settings = RegistrySettings(url=fake.url)
    with pytest.raises(RegistryFailed):
        await schema_id(settings, SUBJECT, SCHEMA.replace("why", "since"), memory.saved, memory.save)
    with pytest.raises(RegistryFailed, match="could not be reached"):
        await _ask(_nobody(), memory)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"fingerprint": 1, "id": 7}'])
async def test_an_unreadable_saved_id_is_ignored(fake, text):
    """A saved id that cannot be read counts as none."""
    with pytest.raises(RegistryFailed):
        await _ask(fake.url, Memory({"registry-id/" + SUBJECT: text}))


async def test_the_password_is_read_again_and_never_shown(fake, tmp_path):
    """Basic authentication uses the file's current password; no error shows it."""
    password = tmp_path / "password"
    for word in ("canary-one", "canary-two"):
        password.write_text(f"{word}\n")
        fake.answers[LOOK_UP] = _error(401)
        with pytest.raises(RegistryFailed) as caught:
            await _ask(fake.url, username="kis", password_file=password)
        sent = fake.requests[-1][1]["Authorization"].removeprefix("Basic ")
        assert base64.b64decode(sent).decode() == f"kis:{word}"
        assert word not in repr(caught.value)
        assert word not in clean(f"somebody said {word} aloud")
        assert sent not in clean(f"somebody said {sent} aloud")


async def test_a_password_file_that_went_away_is_named(fake, tmp_path):
    """An unreadable password file is an error that names it, and nothing is sent."""
    password = tmp_path / "password"
    password.write_text("canary")
    settings = RegistrySettings(url=fake.url, username="kis", password_file=password)
    password.unlink()
    with pytest.raises(RegistryFailed, match=r"password could not be read.*No such file"):
        await register(settings, SUBJECT, SCHEMA)
    assert fake.requests == []


async def test_a_pinned_id_is_used_if_the_registry_holds_our_schema_under_it(fake):
    """A pinned id is right if the registry's schema differs only in docs and spelling."""
    written = {"fields": [{"type": {"type": "string"}, "name": "a"}], "name": "T", "type": "record"}
    fake.answers["GET /schemas/ids/5"] = {"schema": json.dumps(written), "schemaType": "AVRO"}
    assert await _ask(fake.url, schema_id=5, auto_register=True) == 5
    assert [asked for asked, _, _ in fake.requests] == ["GET /schemas/ids/5"]


HELD = {
    "another schema": {"schema": SCHEMA.replace('"a"', '"b"')},
    "no schema": _error(404, 40403),
    "a JSON schema": {"schema": SCHEMA, "schemaType": "JSON"},
    "a PROTOBUF schema": {"schema": "message T {}", "schemaType": "PROTOBUF"},
}


@pytest.mark.parametrize(("found", "answer"), HELD.items(), ids=HELD)
async def test_a_pinned_id_of_another_schema_is_refused(fake, found, answer):
    """A pinned id of another schema or type, or of none, is refused with the setting's name."""
    fake.answers["GET /schemas/ids/5"] = answer
    with pytest.raises(
        RegistryFailed, match=rf"registry at {fake.url} holds {found} as id 5: correct registry.schema_id"
    ):
        await _ask(fake.url, schema_id=5)


@pytest.mark.parametrize(
    "answer", [web.Response(status=503), web.Response(text="<html>"), {"schema": "{"}, {"schema": 5}], ids=range(4)
)
async def test_a_pinned_id_is_used_while_it_cannot_be_verified(fake, answer):
    """A pinned id is used if the registry cannot say which schema it has."""
    fake.answers["GET /schemas/ids/5"] = answer
    assert await _ask(fake.url, schema_id=5) == 5


async def test_the_subject_is_quoted(fake):
    """A subject with special characters is one path segment of the URL."""
    fake.answers |= {
        "POST /subjects/a%2Fb%3Fc": _error(404, 40401),
        "POST /subjects/a%2Fb%3Fc/versions": {"id": 1},
    }
    assert await register(RegistrySettings(url=fake.url), "a/b?c", SCHEMA) == 1


async def test_without_a_url_the_setting_is_named():
    """Without a configured registry, asking is a configuration error."""
    with pytest.raises(ConfigurationError, match=r"registry\.url"):
        await register(RegistrySettings(), SUBJECT, SCHEMA)


async def test_only_the_configured_authority_is_trusted(fake, tmp_path):
    """A registry with TLS is trusted only if `ca_file` holds its authority."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    making = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        *subject,
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    await asyncio.to_thread(subprocess.run, making, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    fake.answers[LOOK_UP] = {"id": 7}
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
        url = f"https://localhost:{runner.addresses[0][1]}"
        assert await _ask(url, ca_file=certificate) == 7
        with pytest.raises(
            RegistryFailed,
            match=r"the certificate of localhost:\d+ \(for localhost\) is signed by CN=localhost, which registry.ca",
        ):
            await _ask(url)
        with pytest.raises(RegistryFailed, match=r"does not name 127\.0\.0\.1: use a name it has in registry\.url"):
            await _ask(url.replace("localhost", "127.0.0.1"), ca_file=certificate)
    finally:
        await runner.cleanup()


async def test_a_real_registry_gives_one_id_for_one_schema(registry_url):
    """A real registry gives one id for our schema: registered, looked up and pinned."""
    subject, memory = f"{uuid.uuid4().hex}-value", Memory()
    settings = RegistrySettings(url=registry_url)
    with pytest.raises(RegistryFailed, match="does not hold this schema"):
        await schema_id(settings, subject, bond_tick(), memory.saved, memory.save)
    indented = json.dumps(json.loads(bond_tick()), indent=8, sort_keys=True)
    registered = await register(settings, subject, indented)
    assert await register(settings, subject, bond_tick()) == registered
    assert await schema_id(settings, subject, bond_tick(), memory.saved, memory.save) == registered
    pinned = RegistrySettings(url=registry_url, schema_id=registered)
    assert await schema_id(pinned, subject, bond_tick(), memory.saved, memory.save) == registered
    async with ClientSession() as session, session.get(f"{registry_url}/schemas/ids/{registered}") as response:
        assert json.loads((await response.json(content_type=None))["schema"]) == json.loads(bond_tick())


async def test_a_real_registry_refuses_an_incompatible_schema(registry_url):
    """A real registry answers 409 to a schema with one more mandatory column."""
    subject, settings = f"{uuid.uuid4().hex}-value", RegistrySettings(url=registry_url)
    await register(settings, subject, bond_tick())
    async with (
        ClientSession() as session,
        session.put(f"{registry_url}/config/{subject}", json={"compatibility": "FULL"}) as response,
    ):
        assert response.status == 200
    changed = json.loads(bond_tick())
    changed["fields"].append({"name": "more", "type": "string"})
    with pytest.raises(RegistryFailed, match="409"):
        await register(settings, subject, json.dumps(changed))
