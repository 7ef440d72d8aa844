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
    """No registry gave a usable answer."""


class Answer(NamedTuple):
    """One HTTP answer: the URL of `registry.url` that gave it, its status, and its JSON object.

    `content` is None if the body is something else.
    """

    url: str
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
    last = last_to_answer(settings)
    urls = sorted(settings.url.split(","), key=lambda url: url != last)
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
    raise RegistryFailed("; ".join(dict.fromkeys(map(str, failures)))) from failures[-1].__cause__


def last_to_answer(settings: RegistrySettings) -> str:
    """Return the URL that answered last; before any answer, the first one of `registry.url`."""
    urls = settings.url or ""
    return _answered.get(urls, urls.partition(",")[0])


async def _ask_one(
    settings: RegistrySettings, base: str, method: str, path: str, body: dict[str, str] | None
) -> Answer:
    url = URL(base + path, encoded=True)
    try:
        connector = aiohttp.TCPConnector(ssl=tls_of(settings))
        headers = {"Accept": f"{CONTENT_TYPE}, application/json", "Content-Type": CONTENT_TYPE}
        headers |= await authorization(settings)
    except NoAccessToken as failure:
        raise RegistryFailed(f"REG_TOKEN: no login at the schema registry: {failure}") from None
    except (OSError, ValueError) as error:
        # Perhaps the file is being replaced. The message must not show its content.
        cause = getattr(error, "strerror", None) or type(error).__name__
        named = " or ".join(map(str, files_of(settings)))
        raise RegistryFailed(f"REG_FILE: {named} could not be read for the schema registry: {cause}") from None
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)) as session,
            session.request(method, url, json=body, headers=headers, allow_redirects=False) as response,
        ):
            return Answer(base, response.status, json_object(await _limited(response, base)))
    except TimeoutError:
        raise RegistryFailed(
            f"REG_TIMEOUT: the schema registry at {base} did not answer in {TIMEOUT_SECONDS} s"
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        cause = await explain_unreachable(
            error, url, address_setting="registry.url", authority_setting="registry.ca_file"
        )
        raise RegistryFailed(f"REG_UNREACHABLE: the schema registry at {base} could not be reached: {cause}") from error


async def _limited(response: aiohttp.ClientResponse, base: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise RegistryFailed(
                f"REG_ANSWER: the schema registry at {base} answered with over {MAX_ANSWER_BYTES} bytes:"
                " check registry.url"
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
    raise RegistryFailed(_refusal(answer, subject))


def _refusal(answer: Answer, subject: str) -> str:
    at, said = f"the schema registry at {answer.url}", f"{answer.status} {_message(answer.content)}".strip()
    if answer.is_failure:
        return f"REG_FAILED: {at} failed with {subject}: {said}"
    match answer.status:
        case 401 | 403:
            what = f"REG_REFUSED: {at} refused us: {said}"
            fix = (
                "check registry.username and registry.password_file, or the other login that is set, and its rights"
                f" on {subject}"
            )
        case 409:
            what = f"REG_INCOMPATIBLE: {at} refused the schema as incompatible with {subject}: {said}"
            fix = "use another topic, or change the subject's compatibility"
        case 422:
            what = f"REG_SCHEMA: {at} refused the schema of {subject} as invalid: {said}"
            fix = "its version may be too old for this Avro schema"
        case status if 300 <= status < 400:
            what = f"REG_REDIRECT: {at} answered {said} with a redirect, which is not followed"
            fix = "set registry.url to the address it leads to"
        case 200:
            what = f"REG_ANSWER: {at} answered with something other than a JSON object"
            fix = PATH_FIX
        case _:
            what, fix = f"REG_PATH: {at} answered {said} to {subject}", PATH_FIX
    return f"{what}: {fix}"


def _message(content: dict[str, Any] | None) -> str:
    return shown(str((content or {}).get("message", "")))


def shown(text: str) -> str:
    """Return a registry's text as one bounded line without secrets."""
    return printable(clean(text, LONGEST_TEXT))
