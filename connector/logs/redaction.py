"""Hides secrets in a text: known ones by their value, unknown ones by their shape.

Peers send any text they like, so every pattern here must take time linear in its input: no two
neighbouring repetitions may match the same character, and a search that fails at one position may
not scan again from the next. tests/logs/test_redaction.py measures it.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, defaultdict
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "********"
# A shorter value might be an ordinary word; the shortest secret of KIS, an IV, has 16 characters.
_MIN_LENGTH = 6
# Each registration brings a key and an IV; without a bound, a long run would search for thousands.
_MAX_VALUES = 512
# More characters than any secret has, escapes included; an app secret, KIS's longest, has 180.
_MARGIN = 1_000

# A name may be the end of a longer one: kafka_password, clientSecret, access_token.
_NAMES = r"(?:appkey|secretkey|secret|approval_key|token|password|passphrase|sasl_auth_bytes|authorization)"
# The quote may be escaped any number of times: a log line of JSON may contain JSON.
_QUOTE = r"""\\*["']"""
_QUOTED = re.compile(rf"{_NAMES}(?:{_QUOTE})?\s*[:=]\s*b?(?P<quote>{_QUOTE})", re.IGNORECASE)
_VALUE = r"""[^\s"'\\,;&(){}\[\]]"""
_SCHEME = r"(?:Bearer|Basic|Digest|Negotiate)"
# "cannot start any token: correct the YAML there": after a colon, a word before another is prose.
_PROSE = rf"(?!{_SCHEME}\s)[^\W\d_]{{1,20}}[ ][^\W\d_]"
_STATE = rf"(?:null|none|true|false|empty|missing|unknown|expired|invalid|wrong|refused|required)(?!{_VALUE})"
_BARE = re.compile(
    rf"(?P<name>{_NAMES}\s*(?:=|:(?!\s+{_PROSE}))\s*)(?!{_STATE})(?:{_SCHEME}\s+)?{_VALUE}+", re.IGNORECASE
)
_SECRET_NAME = re.compile(rf"{_NAMES}$", re.IGNORECASE)
# The lookbehind keeps the search from trying each backslash of a long run.
_ANY_QUOTE = re.compile(r"""(?<!\\)(\\*)(["'])""")
_SHAPES = (
    # AES key (32 characters) and IV (16) of a subscribe reply; any other "key" is not a secret.
    re.compile(
        rf"(?P<name>(?<![A-Za-z])(?:key(?:{_QUOTE})?\s*[:=]\s*b?{_QUOTE}(?=[\w+/=]{{32}}{_QUOTE})"
        rf"|iv(?:{_QUOTE})?\s*[:=]\s*b?{_QUOTE}(?=[\w+/=]{{16}}{_QUOTE})))[\w+/=]+"
    ),
    # App key, anywhere.
    re.compile(r"(?P<name>\b)PS[A-Za-z0-9]{34}\b"),
    # Approval key: a UUID.
    re.compile(r"(?P<name>\b)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE),
    # App secret: 180 characters of base64.
    re.compile(r"(?P<name>)(?<![\w+/=])[A-Za-z0-9+/]{150,}={0,2}"),
    # Not "Basic authentication".
    re.compile(
        r"(?P<name>\b(?:Bearer|Basic)\s+)(?!(?:auth[a-z]*|credentials?|tokens?|schemes?|realm)\b)[\w.~+/=-]{8,}",
        re.IGNORECASE,
    ),
)


class Redactor:
    """Hides in a text the secrets it knows, and whatever looks like a secret.

    One thread may add values while another cleans texts.
    """

    def __init__(self) -> None:
        self._configured: OrderedDict[str, None] = OrderedDict()
        self._issued: defaultdict[str, OrderedDict[str, None]] = defaultdict(OrderedDict)
        self._longest_first: tuple[str, ...] = ()

    def hide(self, *secrets: str) -> None:
        """Add values to hide, also in the form they have inside JSON."""
        self._add(self._configured, secrets)

    def hide_issued(self, *secrets: str, kind: str) -> None:
        """Add values that a peer issues repeatedly; they displace only older ones of their kind."""
        self._add(self._issued[kind], secrets)

    def clean(self, text: str, limit: int | None = None) -> str:
        """Return the text with asterisks for every secret, cut at the limit.

        JSON stays valid JSON. No part of a secret that reaches beyond the limit is left.
        """
        if limit is not None and len(text) > limit:
            start = self.clean(text[: limit + _MARGIN])
            if not start.endswith(HIDDEN):
                # Its last characters may be half a secret, which has neither value nor shape.
                start = start[:-_MARGIN]
            return f"{start[:limit]}… (cut, {len(text)} characters)"
        for secret in self._longest_first:
            text = text.replace(secret, HIDDEN)
        text = _hide_quoted(text)
        for shape in (_BARE, *_SHAPES):
            text = shape.sub(rf"\g<name>{HIDDEN}", text)
        return text

    def _add(self, known: OrderedDict[str, None], secrets: Iterable[str]) -> None:
        for secret in secrets:
            if len(secret) < _MIN_LENGTH:
                continue
            for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
                known[form] = None
                known.move_to_end(form)
        while len(known) > _MAX_VALUES:
            known.popitem(last=False)
        self._longest_first = tuple(sorted((*self._configured, *chain(*self._issued.values())), key=len, reverse=True))


def names_secret(field: str) -> bool:
    """Whether a field of this name holds a secret."""
    return _SECRET_NAME.search(field) is not None


def _hide_quoted(text: str) -> str:
    parts, position = [], 0
    while (match := _QUOTED.search(text, position)) is not None:
        parts += [text[position : match.end()], HIDDEN]
        position = _closing_quote(text, match.end(), match["quote"])
    return "".join([*parts, text[position:]])


def _closing_quote(text: str, start: int, quote: str) -> int:
    """Return where the quote that was opened before `start` is closed, or the text's length.

    JSON inside JSON doubles backslashes. If n stand before the opening quote, a quote after n more
    than a multiple of 2(n+1) closes it. Any other quote belongs to the value.
    """
    depth = len(quote) - 1
    for match in _ANY_QUOTE.finditer(text, start):
        if match[2] == quote[-1] and len(match[1]) % (2 * depth + 2) == depth:
            return match.end() - len(quote)
    return len(text)
