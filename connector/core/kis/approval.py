"""The request to KIS's approval service (`POST /oauth2/Approval`), and how we read the answer.

Sources: koreainvestment/open-trading-api:examples_llm/auth/auth_ws_token;
koreainvestment/kis-ai-extensions:shared/commands/kis-help.md.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

# The key, secret or grant type is missing, wrong or unsupported, or our address is not allowed.
REFUSED_FOR_GOOD: Final = frozenset(
    {
        *("EGW00102", "EGW00103", "EGW00104", "EGW00105"),
        *("EGW00115", "EGW00116", "EGW00206", "EGW00303", "EGW00304"),
    }
)

_KEY: Final = re.compile(r"[\x21-\x7e]{1,1024}")
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,20}")


class AppKey(Protocol):
    """One app key pair as the approval call needs it."""

    @property
    def appkey(self) -> str:
        """The public half."""

    @property
    def appsecret(self) -> str:
        """The secret half."""


@dataclass(frozen=True, slots=True)
class Granted:
    """KIS gave an approval key."""

    approval_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """KIS refused the app key for good."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """We got no key: the service was out of reach or busy, or its answer made no sense."""

    code: str | None
    message: str


Answer = Granted | Refused | Unavailable


def request_body(app_key: AppKey) -> bytes:
    """Return the JSON body.

    This call names the secret `secretkey`. KIS's token call names it `appsecret`.
    """
    fields = {"grant_type": "client_credentials", "appkey": app_key.appkey, "secretkey": app_key.appsecret}
    return json.dumps(fields).encode()


def read_answer(status: int, body: bytes) -> Answer:
    """Read the answer of the approval service. Never raises.

    KIS reports an error as error_code and error_description, or as msg_cd and msg1. A body that has
    neither shape is never quoted.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return Unavailable(None, f"CRED_APPROVAL: the approval service answered HTTP {status} without a JSON object")
    key = fields.get("approval_key")
    if status == 200 and isinstance(key, str) and _KEY.fullmatch(key):
        return Granted(key)
    code = _text(fields, "error_code") or _text(fields, "msg_cd")
    message = _text(fields, "error_description") or _text(fields, "msg1")
    if not _CODE.fullmatch(code):
        return Unavailable(None, f"CRED_APPROVAL: the approval service answered HTTP {status} without a key or a code")
    return Refused(code, message) if code in REFUSED_FOR_GOOD else Unavailable(code, message)


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
