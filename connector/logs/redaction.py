"""Hides secrets in a text: known ones by their value, unknown ones by their shape.

Peers send any text they like, so every pattern here must take time linear in its input. No two
neighbouring repetitions may match the same character. A search that fails at one position must not
scan the same text again from the next. tests/logs/test_redaction.py measures the time.
"""

from __future__ import annotations

import base64
import html
import json
import re
import string
from bisect import bisect_left
from collections import OrderedDict, defaultdict
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HIDDEN = "********"
# A shorter value might be an ordinary word; the shortest secret of KIS, an IV, has 16 characters.
_MIN_LENGTH = 6
# Each registration brings a key and an IV. Without this bound, a long run would look for thousands.
_MAX_VALUES = 512
# More characters than any secret has with its escapes. KIS's longest, an app secret, has 180.
_MARGIN = 1_000
# A secret that is cut off is hidden if at least this many of its characters are left.
_MIN_PREFIX = 8
# Lower case for ASCII only: elsewhere it might change a text's length.
_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# HTML escapes of base64's characters: Go's, some JavaScript's, mixed, hexadecimal, decimal.
_HTML = tuple(
    str.maketrans(escapes)
    for escapes in (
        {"+": "&#43;"},
        {"/": "&#x2F;", "=": "&#x3D;"},
        {"+": "&#43;", "/": "&#x2F;", "=": "&#x3D;"},
        {"+": "&#x2B;", "/": "&#x2F;", "=": "&#x3D;"},
        {"+": "&#43;", "/": "&#47;", "=": "&#61;"},
    )
)
# A text that someone quotes ends at a quote, at the end of the line, or where the whole text ends.
_QUOTED_TEXT = re.compile(r"""[^"'\n]{8,}""")

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


class _Known(NamedTuple):
    """What to look for in a text without capitals: every spelling of every known secret, sorted."""

    forms: tuple[str, ...] = ()
    starts: frozenset[str] = frozenset()
    longest: int = 0


class Redactor:
    """Hides in a text the secrets it knows, and whatever looks like a secret.

    One thread may add values while another cleans texts.
    """

    def __init__(self) -> None:
        self._configured: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._issued: defaultdict[str, OrderedDict[str, frozenset[str]]] = defaultdict(OrderedDict)
        self._known = _Known()

    def hide(self, *secrets: str) -> None:
        """Add values to hide, also as JSON, a URL, HTML or base64 spells them."""
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
        folded, known = text.translate(_FOLD), self._known
        return _without(
            [*_spans_of_values(folded, known.forms), *_spans_of_prefixes(folded, known), *_spans_of_shapes(text)], text
        )

    def _add(self, known: OrderedDict[str, frozenset[str]], secrets: Iterable[str]) -> None:
        for secret in secrets:
            if len(secret) >= _MIN_LENGTH:
                known[secret] = _forms(secret)
                known.move_to_end(secret)
        while len(known) > _MAX_VALUES:
            known.popitem(last=False)
        forms = sorted(
            set(chain(*(each for held in (self._configured, *self._issued.values()) for each in held.values())))
        )
        starts = frozenset(form[:_MIN_PREFIX] for form in forms if len(form) >= _MIN_PREFIX)
        self._known = _Known(tuple(forms), starts, max(map(len, forms), default=0))


def _forms(secret: str) -> frozenset[str]:
    """Return the spellings of the secret in JSON, URLs, HTML and base64, without capitals."""
    in_json = json.dumps(secret)[1:-1]
    encoded = secret.encode("utf-8", "surrogatepass")
    forms = {
        secret,
        in_json,
        in_json.replace("/", "\\/"),
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(encoded, safe=""),
        quote(encoded),
        quote_plus(encoded),
        secret.replace("+", " "),
        html.escape(secret),
        *(secret.translate(escapes) for escapes in _HTML),
        # Without padding, which shows nothing of the secret.
        base64.b64encode(encoded).decode().rstrip("="),
        base64.urlsafe_b64encode(encoded).decode().rstrip("="),
    }
    if _UUID.fullmatch(secret):
        forms.add(secret.replace("-", ""))
    return frozenset(form.translate(_FOLD) for form in forms)


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
    for value in [value for value in values if value in text]:  # `in` is faster than `find`
        start = text.find(value)
        while start >= 0:
            yield start, start + len(value)
            start = text.find(value, start + len(value))


def _spans_of_prefixes(text: str, known: _Known) -> Iterator[tuple[int, int]]:
    """Find secrets that were cut off at the end of a quoted text, perhaps with an ellipsis there.

    `bisect_left` gives the only candidate: the first spelling that is not before the text's end.
    """
    for match in _QUOTED_TEXT.finditer(text) if known.starts else ():
        quoted = match[0].rstrip("\\").removesuffix("...").removesuffix("…")
        end = match.start() + len(quoted)
        for start in range(max(match.start(), end - known.longest), end - _MIN_PREFIX + 1):
            if text[start : start + _MIN_PREFIX] in known.starts:
                left = text[start:end]
                place = bisect_left(known.forms, left)
                if place < len(known.forms) and known.forms[place].startswith(left):
                    yield start, end
                    break


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
