"""The id of our schema in a Confluent-compatible schema registry.

Source: Confluent's Schema Registry API, `POST /subjects/(subject)`, `POST /subjects/(subject)/versions`, `GET /schemas/ids/(id)`.
"""

import hashlib
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import structlog
from yarl import URL

from connector.errors import ConfigurationError, NotInTime
from connector.logs import hide
from connector.settings import RegistrySettings

Saved = Callable[[str], Awaitable[str | None]]
Save = Callable[[str, str], Awaitable[None]]

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
NOT_THERE = {40401, 40402, 40403}  # the API's codes for an unknown subject, version and schema
TIMEOUT_SECONDS = 10
MAX_ANSWER_BYTES = 1 << 20
MAX_ID = (1 << 31) - 1  # the wire format has four bytes, Java reads them signed

log = structlog.get_logger("connector.registry")


class RegistryFailed(NotInTime):
    """The registry gave no id. `retryable` says that asking again may help while nobody changes our settings or the schema."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class Answer(NamedTuple):
    """One HTTP answer: status, the JSON object, or None where the body was something else."""

    status: int
    content: dict[str, Any] | None

    @property
    def is_not_there(self) -> bool:
        """Say whether the registry itself, and not a wrong path, said that it does not know what was asked for."""
        return self.status == 404 and self.content is not None and self.content.get("error_code") in NOT_THERE


async def schema_id(settings: RegistrySettings, subject: str, schema: str, saved: Saved, save: Save) -> int:
    """Return the id of exactly this schema (Avro as JSON text) under the subject.

    In this order: `schema_id` of the settings, the registry's own answer, registration where `auto_register` allows it; where the
    registry cannot answer, the id it gave for the same schema, subject and URL before. Raises `RegistryFailed`. The caller may ask again
    at any time: files of credentials are read anew.
    """
    if settings.schema_id is not None:
        return await _pinned(settings, settings.schema_id, schema)
    name, fingerprint = f"registry-id/{subject}", _fingerprint(settings, subject, schema)
    try:
        found = await _look_up(settings, subject, schema)
    except RegistryFailed as failure:
        kept = _saved_id(await saved(name), fingerprint)
        if kept is None:
            raise
        log.warning(
            "registry_id_kept", subject=subject, schema_id=kept, cause=type(failure).__name__, error=str(failure)
        )
        return kept
    if found is None:
        if not settings.auto_register:
            raise RegistryFailed(
                f"REG_SUBJECT: subject {subject} of the schema registry does not hold this schema: "
                "run `kis-bond topics init --register-schema`, or set registry.auto_register",
                retryable=True,
            )
        found = await register(settings, subject, schema)
    await save(name, json.dumps({"id": found, "fingerprint": fingerprint}))
    return found


async def register(settings: RegistrySettings, subject: str, schema: str) -> int:
    """Register the schema under the subject, if it is not there yet, and return its id. Raises `RegistryFailed`."""
    answer = await _ask(settings, "POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": schema})
    return _id_in(_accepted(answer, subject))


async def _look_up(settings: RegistrySettings, subject: str, schema: str) -> int | None:
    answer = await _ask(settings, "POST", f"/subjects/{quote(subject, safe='')}", {"schema": schema})
    return None if answer.is_not_there else _id_in(_accepted(answer, subject))


async def _pinned(settings: RegistrySettings, pinned: int, schema: str) -> int:
    """Return the pinned id, unless the registry says that it stands for another schema or for none."""
    try:
        answer = await _ask(settings, "GET", f"/schemas/ids/{pinned}")
        held = None if answer.is_not_there else _accepted(answer, f"id {pinned}").get("schema")
        holds_ours = held is not None and _essence(json.loads(held)) == _essence(json.loads(schema))
    except (RegistryFailed, TypeError, ValueError, RecursionError) as failure:
        log.warning("registry_id_unverified", schema_id=pinned, cause=type(failure).__name__, error=str(failure))
        return pinned
    if not holds_ours:
        found = "no schema" if held is None else "another schema"
        raise RegistryFailed(
            f"REG_ID: the schema registry holds {found} as id {pinned}: correct registry.schema_id", retryable=False
        )
    return pinned


async def _ask(settings: RegistrySettings, method: str, path: str, body: dict[str, str] | None = None) -> Answer:
    if settings.url is None:
        raise ConfigurationError(["registry.url: is not set: give the address of the schema registry"])
    url = URL(settings.url + path, encoded=True)
    try:
        connector = aiohttp.TCPConnector(
            ssl=ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True
        )
        headers = {"Accept": f"{CONTENT_TYPE}, application/json", "Content-Type": CONTENT_TYPE} | _authorization(
            settings
        )
    except (OSError, ValueError) as error:  # a file that is being replaced; its content is not for messages
        cause = getattr(error, "strerror", None) or type(error).__name__
        named = " or ".join(str(path) for path in (settings.password_file, settings.ca_file) if path)
        raise RegistryFailed(
            f"REG_FILE: {named} could not be read for the schema registry: {cause}", retryable=True
        ) from None
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)) as session,
            session.request(method, url, json=body, headers=headers, allow_redirects=False) as response,
        ):
            return Answer(response.status, _object(await _limited(response)))
    except TimeoutError:
        raise RegistryFailed(
            f"REG_TIMEOUT: the schema registry at {settings.url} did not answer in {TIMEOUT_SECONDS} s", retryable=True
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        raise RegistryFailed(
            f"REG_UNREACHABLE: the schema registry at {settings.url} could not be reached: {error}", retryable=True
        ) from error


def _authorization(settings: RegistrySettings) -> dict[str, str]:
    if settings.username is None:
        return {}
    password = settings.password_file.read_text(encoding="utf-8").removesuffix("\n") if settings.password_file else ""
    hide(password)
    return {"Authorization": aiohttp.encode_basic_auth(settings.username, password, encoding="utf-8")}


async def _limited(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise RegistryFailed(
                f"REG_ANSWER: the schema registry answered with over {MAX_ANSWER_BYTES} bytes: check registry.url",
                retryable=False,
            )
    return bytes(body)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _accepted(answer: Answer, subject: str) -> dict[str, Any]:
    """Return the object of a good answer; of any other raise what happened and what to do."""
    said = f"{answer.status} {_message(answer.content)}".strip()
    match answer.status:
        case 200 if answer.content is not None:
            return answer.content
        case 401 | 403:
            code, problem = (
                "REG_REFUSED",
                f"refused us: {said}: check registry.username, registry.password_file and what that user may do with {subject}",
            )
        case 409:
            code, problem = (
                "REG_INCOMPATIBLE",
                f"refused the schema as incompatible with {subject}: {said}: use another topic, or change the subject's compatibility",
            )
        case 422:
            code, problem = (
                "REG_SCHEMA",
                f"did not take the schema of {subject}: {said}: it does not speak this Avro, or its version is too old",
            )
        case 429 | 500 | 501 | 502 | 503 | 504:
            raise RegistryFailed(f"REG_FAILED: the schema registry failed at {subject}: {said}", retryable=True)
        case status if 300 <= status < 400:
            code, problem = (
                "REG_REDIRECT",
                f"answered {said} with a redirect, which is not followed: set registry.url to the address it leads to",
            )
        case 200:
            code, problem = (
                "REG_ANSWER",
                "answered with something other than a JSON object: check registry.url, a path such as /apis/ccompat/v7 may be missing",
            )
        case _:
            code, problem = (
                "REG_PATH",
                f"answered {said} to {subject}: check registry.url, a path such as /apis/ccompat/v7 may be missing",
            )
    raise RegistryFailed(f"{code}: the schema registry {problem}", retryable=False)


def _message(content: dict[str, Any] | None) -> str:
    text = str((content or {}).get("message", ""))[:300]
    return "".join(character if character.isprintable() else " " for character in text)


def _id_in(content: dict[str, Any]) -> int:
    found = content.get("id")
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= MAX_ID:
        raise RegistryFailed(
            "REG_ID: the schema registry answered without a usable id: check registry.url", retryable=False
        )
    return found


def _fingerprint(settings: RegistrySettings, subject: str, schema: str) -> str:
    """Return what an id is good for: one schema, under one subject, in one registry."""
    whole = json.dumps([settings.url, subject, json.loads(schema)], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def _saved_id(text: str | None, fingerprint: str) -> int | None:
    kept = _object((text or "").encode())
    if kept is None or kept.get("fingerprint") != fingerprint:
        return None
    return kept["id"] if isinstance(kept.get("id"), int) else None


def _essence(schema: Any) -> Any:
    """Return a schema without what registries rewrite or leave out: docs, and the long form of a plain type."""
    match schema:
        case {"type": inner, **rest} if not rest.keys() - {"doc"}:
            return _essence(inner)
        case dict():
            return {name: _essence(value) for name, value in schema.items() if name != "doc"}
        case list():
            return [_essence(one) for one in schema]
    return schema
