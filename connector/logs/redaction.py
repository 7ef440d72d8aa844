"""Hides secrets in a text: known ones by their value, unknown ones by their shape.

Both are searched for in the text as it came and with its spelling undone (see `spellings`).
Peers send any text they like, so every pattern here must take time linear in its input. No two
neighbouring repetitions may match the same character. A search that fails at one position must not
scan the same text again from the next. tests/logs/test_redaction.py measures the time.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import OrderedDict, defaultdict
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from connector.logs.spellings import forms, plain, views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from connector.logs.spellings import View

HIDDEN = "********"
# A shorter value might be an ordinary word; the shortest secret of KIS, an IV, has 16 characters.
_MIN_LENGTH = 6
# Each registration brings a key and an IV. Without this bound, a long run would look for thousands.
_MAX_VALUES = 512
# More characters than any secret has with its escapes. KIS's longest, an app secret, has 180.
_MARGIN = 2_000
_LONGEST_READ = 64 * 1024  # the longest data that is read in all its spellings
# A secret that is cut off is hidden if at least this many of its characters are left. It takes more
# where only a word ends, because ordinary words end there too.
_MIN_PREFIX = 8
_MIN_PREFIX_IN_PROSE = 12
# A text that someone quotes ends at a quote, at the end of the line, or where the whole text ends.
_QUOTED_TEXT = re.compile(r"""[^"'\n\\]{8,}""")
# What is left of an escape that was cut off with the text; one with a backslash ends the text.
_HALF_ESCAPE = re.compile(r"(?:%(?:25)*[0-9a-f]?|&#?[0-9a-z]{0,31}|=[0-9a-f]?)$")
_LONGEST_HALF = 40
# Before one of these, a quoted text may have been cut off too.
_CUT = re.compile(r"\.\.\.|…|\*\*\*|[)\]<>]")
# What ends a word: a blank, a comma, a Korean particle. A sign that may join two words ends one
# only if no word follows.
_END_OF_WORD = re.compile(r"[^0-9a-z_.+/=%-]|[.+/=%-](?![0-9a-z_])")

# The patterns are for texts without capitals.
# A name may be the end of a longer one: kafka_password, clientSecret, access_token.
_NAMES_OF_SECRETS = (
    *("appkey", "secretkey", "secret", "approval_key", "token", "password", "passphrase"),
    *("passwd", "pwd", "sasl_auth_bytes", "authorization"),
)
_NAMES = rf"(?:{'|'.join(_NAMES_OF_SECRETS)})"
# The quote may be escaped any number of times: a log line of JSON may contain JSON.
_QUOTE = r"""\\*["']"""
_VALUE = r"""[^\s"'\\,;&<|(){}\[\]]"""
_SCHEME = r"(?:bearer|basic|digest|negotiate)"
# After a colon, a word or a short number that a word follows is prose: "any token: correct the YAML
# there". The word may be quoted as code.
_PROSE = rf"(?!{_SCHEME}\s)(?:[^\W\d_]{{1,20}}(?:'s)?|[0-9]{{1,3}})[ ]`?[^\W\d_]"
_STATES = (
    *("null", "none", "true", "false", "ok", "set", "unset", "empty", "missing", "found", "unknown", "expired"),
    *("invalid", "incorrect", "wrong", "refused", "denied", "failed", "required", "unchanged", "changed"),
    *("eof", "eol", "end", "newline"),  # what a parser calls a token
)
_SIGNS = r"[^\w\s]{1,2}"  # no secret, but what a parser may call a token
_QUOTED = re.compile(
    rf"{_NAMES}(?:{_QUOTE})?\s*(?:[:=]|is\s(?!\s*{_QUOTE}(?:{'|'.join(_STATES)}){_QUOTE}))\s*b?(?P<quote>{_QUOTE})"
)
_ONLY_SIGNS = re.compile(_SIGNS)
_STATE = rf"(?:{'|'.join(_STATES)}|{_SIGNS})(?!{_VALUE})"
_BARE = re.compile(rf"(?P<name>{_NAMES}\s*(?:=|:(?!\s+{_PROSE}))\s*)(?!{_STATE})(?:{_SCHEME}\s+)?{_VALUE}+")
# What a view joins lines at: breaks and tags, also escaped.
_BREAK = re.compile(
    r"[\t\n\v\f\r\x85\u2028\u2029<]|\\(?:[nr]|[ux](?:00)?(?:0[9ad]|3c))|%(?:25)*(?:0[9ad]|3c)|=0[9ad]"
    r"|&(?:amp;)*(?:#(?:x0?[9ad]|9|1[03]|x3c|60)|newline|tab|lt);"
)
# An HTTP credential, but not words such as "Basic authentication" or "bearer instruments": it has a
# digit, a sign that no word has, or more characters than a word.
_CREDENTIAL = r"[\w.~+/=-]"
_HTTP_CREDENTIAL = re.compile(
    r"(?P<name>\b(?:bearer|basic)\s+)(?!(?:auth[a-z]*|credentials?|tokens?|schemes?|realm)\b)"
    rf"(?={_CREDENTIAL}{{21}}|{_CREDENTIAL}*?(?:[\d~+=]|\w\.\w)){_CREDENTIAL}{{8,}}"
)
_SECRET_NAME = re.compile(rf"{_NAMES}$", re.IGNORECASE)
# The lookbehind keeps the search from trying each backslash of a long run.
_ANY_QUOTE = re.compile(r"""(?<!\\)(\\*)(["'])""")
# App secret: 180 characters of base64. A longer run is other data.
_APP_SECRET = re.compile(r"(?P<name>)(?<![a-z0-9+/])[a-z0-9+/]{150,400}={0,2}(?![a-z0-9+/=])")
# What stands between a name and its value, in JSON, in a sentence or in XML.
_ANNOUNCES = rf"(?:{_QUOTE})?\s*(?:[:=]>?\s*b?(?:{_QUOTE})?|>\s*(?:<!\[cdata\[)?)"
_AES = r"[a-z0-9_+/=]"
# These have a fixed length.
_SHAPES = (
    # The AES key (32 characters) and IV (16) of a subscribe reply. No other "key" is a secret.
    re.compile(
        rf"(?P<name>(?<![a-z])(?:key{_ANNOUNCES}(?={_AES}{{32}}(?!{_AES}))|iv{_ANNOUNCES}(?={_AES}{{16}}(?!{_AES}))))"
        rf"{_AES}+"
    ),
    # App key.
    re.compile(r"(?P<name>)(?<![a-z0-9])ps[a-z0-9]{34}(?![a-z0-9])"),
    # Approval key: a UUID.
    re.compile(r"(?P<name>)(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])"),
)


class _Known(NamedTuple):
    """What to look for in a text without capitals: every form of every known secret, sorted.

    `lengths` holds the lengths of the forms that begin with these six characters, longest first.
    """

    forms: tuple[str, ...] = ()
    lengths: Mapping[str, Sequence[int]] = {}
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
        """Add values to hide, in any spelling and also as base64 and hexadecimal."""
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
        read = views(text)
        return _without([*_spans_of_values(read, self._known), *_spans_of_shapes(read)], text)

    def clean_known(self, text: str) -> str:
        """Return the text with asterisks for the secrets this process knows.

        This is for data, of which much looks like a secret. Long data is read only as it came.
        """
        read = views(text) if len(text) <= _LONGEST_READ else [plain(text)]
        return _without(list(_spans_of_values(read, self._known)), text)

    def _add(self, known: OrderedDict[str, frozenset[str]], secrets: Iterable[str]) -> None:
        for secret in secrets:
            if len(secret) >= _MIN_LENGTH:
                known[secret] = frozenset(form for form in forms(secret) if len(form) >= _MIN_LENGTH)
                known.move_to_end(secret)
        while len(known) > _MAX_VALUES:
            known.popitem(last=False)
        held = sorted(
            set(chain(*(each for secrets in (self._configured, *self._issued.values()) for each in secrets.values())))
        )
        lengths: defaultdict[str, set[int]] = defaultdict(set)
        for form in held:
            lengths[form[:_MIN_LENGTH]].add(len(form))
        self._known = _Known(
            tuple(held),
            {start: sorted(each, reverse=True) for start, each in lengths.items()},
            max(map(len, held), default=0),
        )


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


def _spans_of_values(read: Sequence[View], known: _Known) -> Iterator[tuple[int, int]]:
    """Find the known secrets in a text, whole or cut off where a quoted text ends."""
    for view in read:
        text = view.text
        places = [at for at in range(len(text) - _MIN_LENGTH + 1) if text[at : at + _MIN_LENGTH] in known.lengths]
        if not places:  # nearly always
            continue
        quoted = _also_of_raw(_ends_of_quoted, view, read[0])
        words = _also_of_raw(_ends_of_words, view, read[0])
        for start, end in chain(
            _whole(text, places, known),
            _cut_off(text, places, quoted, _MIN_PREFIX, known),
            _cut_off(text, places, words, _MIN_PREFIX_IN_PROSE, known),
        ):
            yield view.starts[start], view.ends[end - 1]


def _also_of_raw(ends: Callable[[str], Iterable[int]], view: View, raw: View) -> list[int]:
    """Return the sorted ends in a view, with those that only the text as it came has."""
    if view is raw:
        return sorted(ends(view.text))
    return sorted({*ends(view.text), *(bisect_right(view.ends, end) for end in ends(raw.text))})


def _whole(text: str, places: Iterable[int], known: _Known) -> Iterator[tuple[int, int]]:
    for start in places:
        for length in known.lengths[text[start : start + _MIN_LENGTH]]:
            if start + length <= len(text) and _is_form(text[start : start + length], known):
                yield start, start + length
                break


def _is_form(text: str, known: _Known) -> bool:
    place = bisect_left(known.forms, text)
    return place < len(known.forms) and known.forms[place] == text


def _cut_off(
    text: str, places: Iterable[int], ends: Sequence[int], shortest: int, known: _Known
) -> Iterator[tuple[int, int]]:
    """Find secrets of which only the start is there.

    `bisect_left` gives the only candidate: the first form that is not before what is left. If that
    is no start of a form, what stands before a later end is none either.
    """
    for start in places:
        for place in range(bisect_left(ends, start + shortest), len(ends)):
            end = ends[place]
            if end - start > known.longest or not _is_start_of_form(text[start:end], known):
                break
            yield start, end


def _is_start_of_form(text: str, known: _Known) -> bool:
    place = bisect_left(known.forms, text)
    return place < len(known.forms) and known.forms[place].startswith(text)


def _ends_of_words(text: str) -> list[int]:
    return [match.start() for match in _END_OF_WORD.finditer(text)]


def _ends_of_quoted(text: str) -> list[int]:
    """Return where quoted texts end, without an ellipsis or half an escape there."""
    ends = []
    for match in _QUOTED_TEXT.finditer(text):
        quoted = match[0].removesuffix("...").removesuffix("…")
        end = match.start() + len(quoted)
        ends.append(end)
        if half := _HALF_ESCAPE.search(quoted, max(0, len(quoted) - _LONGEST_HALF)):
            ends.append(match.start() + half.start())
    return ends + [match.start() for match in _CUT.finditer(text)]


def _spans_of_shapes(read: Sequence[View]) -> Iterator[tuple[int, int]]:
    text = read[0].text
    if _names_a_secret(text):
        yield from _matched(_BARE, text)
    for view in read[1:]:
        if _names_a_secret(view.text):
            yield from _bare_on_one_line(view, text)
    yield from _matched(_HTTP_CREDENTIAL, text)
    yield from _matched(_APP_SECRET, text)
    for view in read:
        for start, end in chain(_announced(view.text), *(_matched(shape, view.text) for shape in _SHAPES)):
            if start < end:
                yield view.starts[start], view.ends[end - 1]


def _names_a_secret(text: str) -> bool:
    """Return whether a search for values after names can find anything: it is slow."""
    return any(name in text for name in _NAMES_OF_SECRETS)


def _bare_on_one_line(view: View, raw: str) -> Iterator[tuple[int, int]]:
    """Find bare values after names in a view, each only to the end of its line in the raw text.

    A view may join lines: a value would go on with the words of the next line, or be the first of
    them.
    """
    for match in _BARE.finditer(view.text):
        start, end = view.starts[match.end("name")], view.ends[match.end() - 1]
        if not _BREAK.search(raw, view.starts[match.start()], start):
            line = _BREAK.search(raw, start, end)
            yield start, line.start() if line else end


def _matched(shape: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    for match in shape.finditer(text):
        yield match.end("name"), match.end()


def _announced(text: str) -> Iterator[tuple[int, int]]:
    """Find what stands in quotes after the name of a secret."""
    if not _names_a_secret(text):
        return
    position = 0
    while (match := _QUOTED.search(text, position)) is not None:
        position = _closing_quote(text, match.end(), match["quote"])
        if not _ONLY_SIGNS.fullmatch(text, match.end(), position):
            yield match.end(), position


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
