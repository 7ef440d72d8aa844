"""Hides secrets in a text: known ones by their value, unknown ones by their shape.

Peers send any text they like, so every pattern here must take time linear in its input. No two
neighbouring repetitions may match the same character. A search that fails at one position must not
scan the same text again from the next. tests/logs/test_redaction.py measures the time.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, defaultdict
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HIDDEN = "********"
# A shorter value might be an ordinary word; the shortest secret of KIS, an IV, has 16 characters.
_MIN_LENGTH = 6
# Each registration brings a key and an IV. Without this bound, a long run would look for thousands.
_MAX_VALUES = 512
# More characters than any secret has with its escapes. KIS's longest, an app secret, has 180.
_MARGIN = 1_000

# A name may be the end of a longer one: kafka_password, clientSecret, access_token.
_NAMES = r"(?:appkey|secretkey|secret|approval_key|token|password|passphrase|sasl_auth_bytes|authorization)"
# The quote may be escaped any number of times: a log line of JSON may contain JSON.
_QUOTE = r"""\\*["']"""
_QUOTED = re.compile(rf"{_NAMES}(?:{_QUOTE})?\s*[:=]\s*b?(?P<quote>{_QUOTE})", re.IGNORECASE)
_VALUE = r"""[^\s"'\\,;&(){}\[\]]"""
_SCHEME = r"(?:Bearer|Basic|Digest|Negotiate)"
# After a colon, a word that another word follows is prose: "any token: correct the YAML there".
_PROSE = rf"(?!{_SCHEME}\s)[^\W\d_]{{1,20}}[ ][^\W\d_]"
_STATE = rf"(?:null|none|true|false|empty|missing|unknown|expired|invalid|wrong|refused|required)(?!{_VALUE})"
_BARE = re.compile(
    rf"(?P<name>{_NAMES}\s*(?:=|:(?!\s+{_PROSE}))\s*)(?!{_STATE})(?:{_SCHEME}\s+)?{_VALUE}+", re.IGNORECASE
)
_SECRET_NAME = re.compile(rf"{_NAMES}$", re.IGNORECASE)
# The lookbehind keeps the search from trying each backslash of a long run.
_ANY_QUOTE = re.compile(r"""(?<!\\)(\\*)(["'])""")
_SHAPES = (
    # The AES key (32 characters) and IV (16) of a subscribe reply. No other "key" is a secret.
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
    # An HTTP credential, but not words such as "Basic authentication".
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
        """Add values that a peer issues repeatedly; they displace only older values of `kind`."""
        self._add(self._issued[kind], secrets)

    def clean(self, text: str, limit: int | None = None) -> str:
        """Return the text with asterisks for every secret, cut at the limit.

        JSON that is not cut stays valid. If a secret crosses the limit, no part of it is left.
        """
        if limit is not None and len(text) > limit:
            start = self.clean(text[: limit + _MARGIN])
            if not start.endswith(HIDDEN):
                # The end may be half a secret, which neither its value nor its shape would show.
                start = start[:-_MARGIN]
            return f"{start[:limit]}… (cut, {len(text)} characters)"
        # We look for every secret in the unchanged text: hiding one could make another one
        # unrecognisable.
        return _without([*_spans_of_values(text, self._longest_first), *_spans_of_shapes(text)], text)

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
    """Return whether a field of this name holds a secret."""
    return _SECRET_NAME.search(field) is not None


def _without(spans: list[tuple[int, int]], text: str) -> str:
    """Return the text with asterisks for each span; spans that overlap become one."""
    parts, position = [], 0
    for start, end in sorted(spans):
        if start >= position:
            parts += [text[position:start], HIDDEN]
        position = max(position, end)
    return "".join([*parts, text[position:]])


def _spans_of_values(text: str, values: Iterable[str]) -> Iterator[tuple[int, int]]:
    for value in values:
        start = text.find(value)
        while start >= 0:
            yield start, start + len(value)
            start = text.find(value, start + len(value))


def _spans_of_shapes(text: str) -> Iterator[tuple[int, int]]:
    position = 0
    while (match := _QUOTED.search(text, position)) is not None:
        position = _closing_quote(text, match.end(), match["quote"])
        yield match.end(), position
    for shape in (_BARE, *_SHAPES):
        for match in shape.finditer(text):
            yield match.end("name"), match.end()


def _closing_quote(text: str, start: int, quote: str) -> int:
    """Return where the quote that was opened before `start` is closed, or the text's length.

    JSON inside JSON doubles backslashes. Let n backslashes stand before the opening quote. A later
    quote closes it if the number of backslashes before that quote is n more than a multiple of
    2(n+1). Any other quote belongs to the value.
    """
    depth = len(quote) - 1
    for match in _ANY_QUOTE.finditer(text, start):
        if match[2] == quote[-1] and len(match[1]) % (2 * depth + 2) == depth:
            return match.end() - len(quote)
    return len(text)
