"""Access tokens of an OpenID provider: the request for one, and the answer.

Source: RFC 6749, sections 2.3.1, 4.4, 5.1 and 5.2.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

# A new token is asked for after this share of a token's life.
REFRESH_SHARE: Final = 0.8
# The life of a token whose answer names none; the RFC leaves it out of the required fields.
DEFAULT_LIFE_SECONDS: Final = 300
LONGEST_LIFE_SECONDS: Final = 7 * 86_400

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token; `refresh_at` and `ends` are seconds of the clock that `read_answer` was given."""

    text: str = field(repr=False)
    refresh_at: float
    ends: float


class Fault(Enum):
    """What has to be corrected before an endpoint gives a token."""

    CLIENT = "the client, or what proves it"
    SCOPE = "the scope"
    ADDRESS = "the endpoint's address"
    PROVIDER = "nothing of ours"


@dataclass(frozen=True, slots=True)
class NoToken:
    """Why an answer holds no token. The text is the provider's own, and may quote a secret."""

    said: str
    fault: Fault


def request_form(scope: str | None, audience: str | None, extra: Mapping[str, str] | None) -> dict[str, str]:
    """Return the form of the request, without what proves who the client is."""
    given = {"scope": scope, "audience": audience, **(extra or {})}
    return {"grant_type": "client_credentials"} | {name: value for name, value in given.items() if value is not None}


def basic_credentials(client_id: str, secret: str) -> str:
    """Return what follows `Basic ` in the header: both parts are encoded before they are joined."""
    return base64.b64encode(f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()).decode()


def read_answer(status: int, body: bytes, now: float) -> BearerToken | NoToken:
    """Return the token of an answer. Never raises."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        return NoToken(f"HTTP {status} without a JSON object", _fault(status, None))
    if status != 200:
        said = [answer.get(name) for name in ("error", "error_description")]
        words = [f"HTTP {status}", *(text for text in said if isinstance(text, str))]
        return NoToken(" ".join(words), _fault(status, answer.get("error")))
    text, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text) or str(kind).lower() != "bearer":
        return NoToken("HTTP 200 without a usable bearer token", Fault.ADDRESS)
    life = _life(answer.get("expires_in", DEFAULT_LIFE_SECONDS))
    if life is None:
        return NoToken("HTTP 200 with a token whose expires_in is no number of seconds up to a week", Fault.PROVIDER)
    return token_of_life(text, life, now)


def _fault(status: int, error: Any) -> Fault:
    """Return what an answer without a token calls for; `error` is its code (RFC 6749, 5.2)."""
    if status >= 500 or status == 429:
        return Fault.PROVIDER
    if status < 400 or status in {404, 405, 410}:
        return Fault.ADDRESS
    return Fault.SCOPE if error == "invalid_scope" else Fault.CLIENT


def token_of_life(text: str, seconds: float, now: float) -> BearerToken:
    """Return a token that lives for so long from `now`."""
    return BearerToken(text, now + seconds * REFRESH_SHARE, now + seconds)


def _life(value: Any) -> int | None:
    """Return the seconds of a token's life. Some providers send them as text."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,7}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LONGEST_LIFE_SECONDS:
        return None
    return value
