"""Finds the id of our schema in a Confluent-compatible schema registry.

Source: Confluent's Schema Registry API: `POST /subjects/(subject)`, `GET` and `POST
/subjects/(subject)/versions`, `GET /schemas/ids/(id)`.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import structlog

from connector.core.ticks.same_schema import same_schema
from connector.settings import RegistrySettings
from connector.shell.registry_http import (
    NO_SUBJECT,
    Answer,
    RegistryFailed,
    ask,
    content_of,
    json_object,
    last_to_answer,
    shown,
)

Saved = Callable[[str], Awaitable[str | None]]
Save = Callable[[str, str], Awaitable[None]]

AVRO = "AVRO"  # the `schemaType` of a schema; an answer leaves it out only for Avro
MAX_VERSIONS = 50  # how many versions are compared by meaning, from the latest back
MAX_ID = (1 << 31) - 1  # the wire format has four bytes, which Java reads as signed

log = structlog.get_logger("connector.registry")


async def schema_id(settings: RegistrySettings, subject: str, schema: str, saved: Saved, save: Save) -> int:
    """Return the id of exactly this schema (Avro as JSON text) under the subject.

    If `registry.schema_id` is set, that is the id. Otherwise we ask the registry. If the registry
    does not hold the schema and `registry.auto_register` is set, we register the schema. If the
    registry gives us no answer, we use the id saved for the same schema, subject and URL. Raises
    `RegistryFailed`. The caller may try again at any time: each call reads the credential files
    again.
    """
    if settings.schema_id is not None:
        return await _pinned(settings, settings.schema_id, schema)
    name, fingerprint = f"registry-id/{subject}", _fingerprint(settings, subject, schema)
    try:
        found = await _look_up(settings, subject, schema)
    except RegistryFailed as failure:
        saved_id = _saved_id(await saved(name), fingerprint)
        if saved_id is None:
            raise
        log.warning(
            "registry_id_kept", subject=subject, schema_id=saved_id, cause=type(failure).__name__, error=str(failure)
        )
        return saved_id
    if found is None:
        if not settings.auto_register:
            raise RegistryFailed(
                f"REG_SUBJECT: subject {subject} of the schema registry at {last_to_answer(settings)} does not hold"
                " this schema: run `kis-bond topics init --register-schema`, or set registry.auto_register"
            )
        found = await _register(settings, subject, schema)
    before = _saved_id(await saved(name), fingerprint)
    if before not in {None, found}:
        log.warning("registry_id_changed", subject=subject, schema_id=found, before=before)
    await save(name, json.dumps({"id": found, "fingerprint": fingerprint}))
    return found


async def register(settings: RegistrySettings, subject: str, schema: str) -> int:
    """Register the schema under the subject unless it is there already; return its id.

    Raises `RegistryFailed`.
    """
    found = await _look_up(settings, subject, schema)
    return await _register(settings, subject, schema) if found is None else found


async def schema_text(settings: RegistrySettings, held_id: int) -> str | None:
    """Return the Avro schema that the registry holds under an id, or None if it holds none.

    Raises `RegistryFailed`. The caller may try again at any time.
    """
    answer = await ask(settings, "GET", f"/schemas/ids/{held_id}")
    if answer.is_not_there:
        return None
    return avro_in(content_of(answer, f"id {held_id}")) or None


async def _register(settings: RegistrySettings, subject: str, schema: str) -> int:
    answer = await ask(settings, "POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": schema})
    return id_in(answer, subject)


async def _look_up(settings: RegistrySettings, subject: str, schema: str) -> int | None:
    answer = await ask(settings, "POST", f"/subjects/{quote(subject, safe='')}", {"schema": schema})
    if not answer.is_not_there:
        return id_in(answer, subject)
    if answer.content is None or answer.content.get("error_code") == NO_SUBJECT:
        return None
    return await _look_up_by_meaning(settings, subject, schema)


async def _look_up_by_meaning(settings: RegistrySettings, subject: str, schema: str) -> int | None:
    """Return the id of a version that means the same as our schema, or None if there is none.

    A version may be indented, sorted or escaped in another way than our text.
    """
    version: int | str = "latest"
    for _ in range(MAX_VERSIONS):
        answer = await ask(settings, "GET", f"/subjects/{quote(subject, safe='')}/versions/{version}")
        if not answer.is_not_there:
            held = content_of(answer, subject)
            if same_schema(avro_in(held), schema):
                return id_in(answer, subject)
            version = held.get("version", version)
        if not isinstance(version, int) or version <= 1:
            break
        version -= 1  # the next lower number may be missing, if that version was deleted
    return None


async def _pinned(settings: RegistrySettings, pinned: int, schema: str) -> int:
    """Return the pinned id, even if the registry could not be asked about it.

    Raises `RegistryFailed` if the registry holds no schema or another schema under that id.
    """
    try:
        answer = await ask(settings, "GET", f"/schemas/ids/{pinned}")
        content = {} if answer.is_not_there else content_of(answer, f"id {pinned}")
        held, kind = content.get("schema"), content.get("schemaType") or AVRO
        if held is not None and kind == AVRO:
            json.loads(held)
        holds_ours = held is not None and kind == AVRO and same_schema(held, schema, docs=False)
    except (RegistryFailed, TypeError, ValueError, RecursionError) as failure:
        log.warning("registry_id_unverified", schema_id=pinned, cause=type(failure).__name__, error=str(failure))
        return pinned
    if not holds_ours:
        found = "no schema" if held is None else "another schema" if kind == AVRO else f"a {shown(str(kind))} schema"
        raise RegistryFailed(
            f"REG_ID: the schema registry at {answer.url} holds {found} as id {pinned}: correct registry.schema_id"
        )
    return pinned


def avro_in(content: dict[str, Any]) -> str:
    """Return the Avro schema in an answer, an empty text if it is a schema of another kind."""
    text = content.get("schema")
    return text if isinstance(text, str) and (content.get("schemaType") or AVRO) == AVRO else ""


def id_in(answer: Answer, subject: str) -> int:
    """Return the schema id in a good answer. Raises RegistryFailed."""
    found = content_of(answer, subject).get("id")
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= MAX_ID:
        raise RegistryFailed(
            f"REG_ID: the schema registry at {answer.url} answered without a usable id: check registry.url"
        )
    return found


def _fingerprint(settings: RegistrySettings, subject: str, schema: str) -> str:
    """Return a hash of what a saved id is valid for: the registry, the subject and the schema."""
    whole = json.dumps([settings.url, subject, json.loads(schema)], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def _saved_id(text: str | None, fingerprint: str) -> int | None:
    saved = json_object((text or "").encode())
    if saved is None or saved.get("fingerprint") != fingerprint:
        return None
    return saved["id"] if isinstance(saved.get("id"), int) else None
