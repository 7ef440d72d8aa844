"""Asks a Confluent-compatible schema registry, at the first of its URLs that answers.

Source: Confluent's Schema Registry API, "Errors".
"""

import json
from typing import Any, NamedTuple

import aiohttp
from yarl import URL

from connector.core.printable import printable
from connector.errors import ConfigurationError, NotInTime
from connector.logs import clean
from connector.settings import RegistrySettings
from connector.shell.access_token import NoAccessToken
from connector.shell.registry_login import authorization, files_of, refused, tls_of
from connector.shell.unreachable import explain_unreachable

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
# The API's codes for an unknown subject, version and schema.
NO_SUBJECT = 40401
NOT_THERE = (NO_SUBJECT, 40402, 40403)
LONGEST_TEXT = 300
TIMEOUT_SECONDS = 10
MAX_ANSWER_BYTES = 1 << 20
RETRYABLE = {408, 425, 429}  # HTTP statuses, beside every one of the server's own failures
SERVER_FAILED, UNAUTHORIZED = 500, 401
PATH_FIX = "check registry.url, a path such as /apis/ccompat/v7 may be missing"

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
    def is_failure(self) -> bool:
        """Whether the server says that it cannot answer at present."""
        return self.status >= SERVER_FAILED or self.status in RETRYABLE

    @property
    def is_not_there(self) -> bool:
        """Whether the registry says that it does not hold what we asked for.

        The status 404 alone does not say so: a wrong path gets it too.
        """
        return self.status == 404 and self.content is not None and self.content.get("error_code") in NOT_THERE


async def ask(settings: RegistrySettings, method: str, path: str, body: dict[str, str] | None = None) -> Answer:
    """Send one request to the first registry that answers it. Raises RegistryFailed if none does.

    We begin with the one that answered last. We pass over one that cannot answer, such as with HTTP
    503, and one whose answer is no JSON object: that is not a registry's.
    """
    if settings.url is None:
        raise ConfigurationError(["registry.url: is not set: give the address of the schema registry"])
    urls = settings.url.split(",")
    last = _answered.get(settings.url, urls[0])
    urls.sort(key=lambda url: url != last)
    unfit: Answer | None = None
    failures = []
    for url in urls:
        try:
            answer = await _ask_one(settings, url, method, path, body)
            if answer.status == UNAUTHORIZED and refused(settings):
                answer = await _ask_one(settings, url, method, path, body)
        except RegistryFailed as failure:
            failures.append(failure)
            continue
        if answer.content is not None and not answer.is_failure:
            _answered[settings.url] = url
            return answer
        unfit = answer
    if unfit is not None:
        return unfit
    raise RegistryFailed(
        "; ".join(dict.fromkeys(map(str, failures))), retryable=any(each.retryable for each in failures)
    ) from failures[-1].__cause__


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
            return Answer(response.status, json_object(await _limited(response)))
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


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the object in a JSON text, None if the text is something else."""
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
    if answer.is_failure:
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
    return shown(str((content or {}).get("message", "")))


def shown(text: str) -> str:
    """Return a registry's text as one bounded line without secrets."""
    return printable(clean(text, LONGEST_TEXT))
