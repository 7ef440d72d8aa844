"""The access token of KIS's REST calls: the request for one, the answer, and how it is kept.

Source: koreainvestment/open-trading-api:examples_llm/auth/auth_token. A token lives for a day. KIS
sends the customer a message for each new one, and issues one a minute at most.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from connector.core.kis.approval import AppKey

# The token is replaced so long before its end, because a call takes time.
MARGIN_SECONDS: Final = 60.0
LONGEST_LIFE_SECONDS: Final = 7 * 86_400

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token, the mark of the app key it was issued for, and its end in seconds since 1970."""

    text: str = field(repr=False)
    owner: str
    ends: float

    def is_usable(self, owner: str, now: float) -> bool:
        """Whether the token belongs to this app key and address, and does not end soon."""
        return self.owner == owner and now < self.ends - MARGIN_SECONDS


def owner_mark(app_key: AppKey, url: str) -> str:
    """Return a mark of the app key and the address; it tells nothing about the secret."""
    return blake2b(f"{url}|{app_key.appkey}".encode(), digest_size=8).hexdigest()


def request_body(app_key: AppKey) -> bytes:
    """Return the JSON body. This call names the secret `appsecret`."""
    fields = {"grant_type": "client_credentials", "appkey": app_key.appkey, "appsecret": app_key.appsecret}
    return json.dumps(fields).encode()


def read_token(answer: dict[str, Any], owner: str, now: float) -> AccessToken | None:
    """Return the token of an answer, or None if the answer has no usable token."""
    text, life = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        return None
    if not isinstance(life, int) or isinstance(life, bool) or not 0 < life <= LONGEST_LIFE_SECONDS:
        return None
    return AccessToken(text, owner, now + life)


def to_text(token: AccessToken) -> str:
    """Return the token as the text of its file."""
    return json.dumps({"token": token.text, "owner": token.owner, "ends": token.ends})


def from_text(text: str) -> AccessToken | None:
    """Return the token of a file's text, or None if the text holds none."""
    try:
        match json.loads(text):
            case {"token": str(token), "owner": str(owner), "ends": int() | float() as ends} if _TOKEN.fullmatch(token):
                return AccessToken(token, owner, float(ends))
    except (ValueError, RecursionError, OverflowError):
        pass
    return None
