"""Takes secrets out of text on its way to a reader, by their value where it is known and by their shape where it is not."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "********"
# Shorter values would blank out ordinary words; an IV, the shortest secret of KIS, has 16 characters.
_SHORTEST = 6
# Each registration brings a key and an IV, so the oldest give way: a long run must not end up comparing with thousands.
_MOST = 512

_NAMES = r"appkey|appsecret|secretkey|secret|approval_key|access_token|token|\w*password|passphrase|sasl_auth_bytes|authorization"
# The quote may be escaped any number of times: JSON stands inside the JSON of a log line.
_QUOTE = r"""\\*["']"""
_QUOTED = re.compile(rf"(?<![A-Za-z])(?:\w*[_-])?(?:{_NAMES}){_QUOTE}?\s*[:=]\s*b?(?P<quote>{_QUOTE})", re.IGNORECASE)
_BARE = re.compile(
    rf"(?P<name>(?<![A-Za-z])(?:\w*[_-])?(?:{_NAMES})\s*[:=]\s*)(?:(?:Bearer|Basic)\s+)?[^\s\"'\\,;&(){{}}\[\]]+",
    re.IGNORECASE,
)
_ANY_QUOTE = re.compile(r"""(\\*)(["'])""")
_SHAPES = (
    # AES key (32 characters) and IV (16) of a subscribe reply; other fields called "key" are no secrets.
    re.compile(
        rf"(?P<name>(?<![A-Za-z])(?:key{_QUOTE}?\s*[:=]\s*b?{_QUOTE}(?=[\w+/=]{{32}}{_QUOTE})|iv{_QUOTE}?\s*[:=]\s*b?{_QUOTE}(?=[\w+/=]{{16}}{_QUOTE})))[\w+/=]+"
    ),
    # App key, wherever it stands.
    re.compile(r"(?P<name>\b)PS[A-Za-z0-9]{34}\b"),
    # Approval key: a UUID.
    re.compile(r"(?P<name>\b)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE),
    # App secret: 180 characters of base64.
    re.compile(r"(?P<name>)(?<![\w+/=])[A-Za-z0-9+/]{150,}={0,2}"),
    re.compile(r"(?P<name>\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE),
)


class Redactor:
    """Remembers secrets and hides them, and whatever looks like one, in a text."""

    def __init__(self) -> None:
        self._ours: OrderedDict[str, None] = OrderedDict()
        self._issued: OrderedDict[str, None] = OrderedDict()

    def hide(self, *secrets: str) -> None:
        """Hide these values from now on, also as they look inside JSON."""
        _remember(self._ours, secrets)

    def hide_issued(self, *secrets: str) -> None:
        """Hide values of which a peer issues new ones all the time, too; they never push out those given to `hide`."""
        _remember(self._issued, secrets)

    def clean(self, text: str) -> str:
        """Return the text with every secret replaced by asterisks; a line of JSON stays one."""
        for secret in sorted((*self._ours, *self._issued), key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        text = _without_quoted(text)
        for shape in (_BARE, *_SHAPES):
            text = shape.sub(rf"\g<name>{HIDDEN}", text)
        return text


def _remember(known: OrderedDict[str, None], secrets: Iterable[str]) -> None:
    for secret in secrets:
        if len(secret) < _SHORTEST:
            continue
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
            known[form] = None
            known.move_to_end(form)
    while len(known) > _MOST:
        known.popitem(last=False)


def _without_quoted(text: str) -> str:
    kept, position = [], 0
    while (match := _QUOTED.search(text, position)) is not None:
        kept += [text[position : match.end()], HIDDEN]
        position = _closing(text, match.end(), match["quote"])
    return "".join([*kept, text[position:]])


def _closing(text: str, start: int, quote: str) -> int:
    """Return where the quote that was opened before `start` is closed, or the text's end.

    JSON inside JSON doubles backslashes: with n before the opening quote, one with n more than a multiple of 2(n+1) closes it,
    and any other belongs to the value.
    """
    depth = len(quote) - 1
    for match in _ANY_QUOTE.finditer(text, start):
        if match[2] == quote[-1] and len(match[1]) % (2 * depth + 2) == depth:
            return match.end() - len(quote)
    return len(text)
