"""Finds the id of our schema in a Confluent-compatible schema registry.

Source: Confluent's Schema Registry API: `POST /subjects/(subject)`, `GET` and `POST
/subjects/(subject)/versions`, `GET /schemas/ids/(id)`.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import structlog
from yarl import URL

from connector.core.printable import printable
from connector.core.ticks.same_schema import same_schema
from connector.errors import ConfigurationError, NotInTime
from connector.logs import clean
from connector.settings import RegistrySettings
from connector.shell.access_token import NoAccessToken
from connector.shell.registry_login import authorization, files_of, refused, tls_of
from connector.shell.unreachable import explain_unreachable

Saved = Callable[[str], Awaitable[str | None]]
Save = Callable[[str, str], Awaitable[None]]

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
AVRO = "AVRO"  # the `schemaType` of a schema; an answer may leave it out only for Avro
NO_SUBJECT = 40401
NOT_THERE = {NO_SUBJECT, 40402, 40403}  # the API's codes for an unknown subject, version and schema
MAX_VERSIONS = 50  # how many versions are compared by meaning, from the latest back
LONGEST_TEXT = 300
TIMEOUT_SECONDS = 10
MAX_ANSWER_BYTES = 1 << 20
RETRYABLE = {429, 500, 501, 502, 503, 504}  # HTTP statuses
PATH_FIX = "check registry.url, a path such as /apis/ccompat/v7 may be missing"
MAX_ID = (1 << 31) - 1  # the wire format has four bytes, which Java reads as signed

log = structlog.get_logger("connector.registry")

# Which URL answered last, by `registry.url`. The whole process shares it.
_answered: dict[str, str] = {}


class RegistryFailed(NotInTime):
    """The registry gave no id.

    `retryable` is true if asking again may help even when nobody changes our settings or schema.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class Answer(NamedTuple):
    """One HTTP answer: its status, and its JSON object or None if the body is something else."""

    status: int
    content: dict[str, Any] | None

    @property
    def is_not_there(self) -> bool:
        """Whether the registry says that it does not hold what we asked for.

        The status 404 alone does not say so: a wrong path gets it too.
        """
        return self.status == 404 and self.content is not None and self.content.get("error_code") in NOT_THERE


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
                f"REG_SUBJECT: subject {subject} of the schema registry does not hold this schema: "
                "run `kis-bond topics init --register-schema`, or set registry.auto_register",
                retryable=True,
            )
        found = await _register(settings, subject, schema)
    await save(name, json.dumps({"id": found, "fingerprint": fingerprint}))
    return found


async def register(settings: RegistrySettings, subject: str, schema: str) -> int:
    """Register the schema under the subject unless it is there already; return its id.

    Raises `RegistryFailed`.
    """
    found = await _look_up(settings, subject, schema)
    return await _register(settings, subject, schema) if found is None else found


async def schema_text(settings: RegistrySettings, held_id: int) -> str | None:
    """Return the schema that the registry holds under an id, or None if it holds none.

    Raises `RegistryFailed`. The caller may try again at any time.
    """
    answer = await ask(settings, "GET", f"/schemas/ids/{held_id}")
    if answer.is_not_there:
        return None
    text = content_of(answer, f"id {held_id}").get("schema")
    return text if isinstance(text, str) else None


async def _register(settings: RegistrySettings, subject: str, schema: str) -> int:
    answer = await ask(settings, "POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": schema})
    return id_in(content_of(answer, subject))


async def _look_up(settings: RegistrySettings, subject: str, schema: str) -> int | None:
    answer = await ask(settings, "POST", f"/subjects/{quote(subject, safe='')}", {"schema": schema})
    if not answer.is_not_there:
        return id_in(content_of(answer, subject))
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
            if same_schema(str(held.get("schema")), schema):
                return id_in(held)
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
        held, kind = content.get("schema"), content.get("schemaType", AVRO)
        if held is not None and kind == AVRO:
            json.loads(held)
        holds_ours = held is not None and kind == AVRO and same_schema(held, schema, docs=False)
    except (RegistryFailed, TypeError, ValueError, RecursionError) as failure:
        log.warning("registry_id_unverified", schema_id=pinned, cause=type(failure).__name__, error=str(failure))
        return pinned
    if not holds_ours:
        found = "no schema" if held is None else "another schema" if kind == AVRO else f"a {_shown(str(kind))} schema"
        raise RegistryFailed(
            f"REG_ID: the schema registry holds {found} as id {pinned}: correct registry.schema_id", retryable=False
        )
    return pinned


async def ask(settings: RegistrySettings, method: str, path: str, body: dict[str, str] | None = None) -> Answer:
    """Send one request to the first registry that answers it. Raises RegistryFailed if none does.

    We begin with the one that answered last. A registry that says it cannot answer, such as with
    HTTP 503, is passed over too.
    """
    if settings.url is None:
        raise ConfigurationError(["registry.url: is not set: give the address of the schema registry"])
    urls = settings.url.split(",")
    last = _answered.get(settings.url, urls[0])
    urls.sort(key=lambda url: url != last)
    answer: Answer | None = None
    failures = []
    for url in urls:
        try:
            answer = await _ask_one(settings, url, method, path, body)
        except RegistryFailed as failure:
            if not failure.retryable:
                raise
            failures.append(failure)
            continue
        if answer.status not in RETRYABLE:
            _answered[settings.url] = url
            return answer
    if answer is not None:
        return answer
    raise RegistryFailed("; ".join(dict.fromkeys(map(str, failures))), retryable=True) from failures[-1].__cause__


async def _ask_one(
    settings: RegistrySettings, base: str, method: str, path: str, body: dict[str, str] | None
) -> Answer:
    url = URL(base + path, encoded=True)
    try:
        connector = aiohttp.TCPConnector(ssl=tls_of(settings))
        headers = {"Accept": f"{CONTENT_TYPE}, application/json", "Content-Type": CONTENT_TYPE}
        headers |= await authorization(settings)
    except NoAccessToken as failure:
        raise RegistryFailed(f"REG_TOKEN: no login at the schema registry: {failure}", retryable=True) from None
    except (OSError, ValueError) as error:
        # Perhaps the file is being replaced. The message must not show its content.
        cause = getattr(error, "strerror", None) or type(error).__name__
        named = " or ".join(map(str, files_of(settings)))
        raise RegistryFailed(
            f"REG_FILE: {named} could not be read for the schema registry: {cause}", retryable=True
        ) from None
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)) as session,
            session.request(method, url, json=body, headers=headers, allow_redirects=False) as response,
        ):
            if response.status == 401:
                refused(settings)
            return Answer(response.status, _object(await _limited(response)))
    except TimeoutError:
        raise RegistryFailed(
            f"REG_TIMEOUT: the schema registry at {base} did not answer in {TIMEOUT_SECONDS} s", retryable=True
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        cause = await explain_unreachable(
            error, url, address_setting="registry.url", authority_setting="registry.ca_file"
        )
        raise RegistryFailed(
            f"REG_UNREACHABLE: the schema registry at {base} could not be reached: {cause}", retryable=True
        ) from error


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


def content_of(answer: Answer, subject: str) -> dict[str, Any]:
    """Return the object of a good answer; any other raises what happened and what to do."""
    if answer.status == 200 and answer.content is not None:
        return answer.content
    said = f"{answer.status} {_message(answer.content)}".strip()
    if answer.status in RETRYABLE:
        raise RegistryFailed(f"REG_FAILED: the schema registry failed at {subject}: {said}", retryable=True)
    raise RegistryFailed(_refusal(answer.status, said, subject), retryable=False)


def _refusal(status: int, said: str, subject: str) -> str:
    match status:
        case 401 | 403:
            what = f"REG_REFUSED: the schema registry refused us: {said}"
            fix = (
                "check registry.username and registry.password_file, or the other login that is set, and its rights"
                f" on {subject}"
            )
        case 409:
            what = f"REG_INCOMPATIBLE: the schema registry refused the schema as incompatible with {subject}: {said}"
            fix = "use another topic, or change the subject's compatibility"
        case 422:
            what = f"REG_SCHEMA: the schema registry refused the schema of {subject} as invalid: {said}"
            fix = "its version may be too old for this Avro schema"
        case _ if 300 <= status < 400:
            what = f"REG_REDIRECT: the schema registry answered {said} with a redirect, which is not followed"
            fix = "set registry.url to the address it leads to"
        case 200:
            what = "REG_ANSWER: the schema registry answered with something other than a JSON object"
            fix = PATH_FIX
        case _:
            what, fix = f"REG_PATH: the schema registry answered {said} to {subject}", PATH_FIX
    return f"{what}: {fix}"


def _message(content: dict[str, Any] | None) -> str:
    return _shown(str((content or {}).get("message", "")))


def _shown(text: str) -> str:
    return printable(clean(text, LONGEST_TEXT))


def id_in(content: dict[str, Any]) -> int:
    """Return the schema id in an answer. Raises RegistryFailed."""
    found = content.get("id")
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= MAX_ID:
        raise RegistryFailed(
            "REG_ID: the schema registry answered without a usable id: check registry.url", retryable=False
        )
    return found


def _fingerprint(settings: RegistrySettings, subject: str, schema: str) -> str:
    """Return a hash of what a saved id is valid for: the registry, the subject and the schema."""
    whole = json.dumps([settings.url, subject, json.loads(schema)], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def _saved_id(text: str | None, fingerprint: str) -> int | None:
    saved = _object((text or "").encode())
    if saved is None or saved.get("fingerprint") != fingerprint:
        return None
    return saved["id"] if isinstance(saved.get("id"), int) else None
