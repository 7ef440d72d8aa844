"""Undoes the spellings of a text: escapes, wrapped lines, invisible characters.

A peer that quotes a secret may spell it otherwise: a proxy's error page escapes it for HTML and
wraps its lines, a JSON writer escapes its slashes, a URL its signs. We undo what is written into
the text, and search what it then says. What was written as another text (base64, hexadecimal) is
searched for in that form.
"""

from __future__ import annotations

import base64
import html
import re
import sys
from html.entities import html5
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Escapes may stand inside one another: JSON in a URL in JSON. Each round undoes one kind or more.
_ROUNDS: Final = 4
_BETWEEN_BYTES: Final = (":", " ", "-", " 0x", ", 0x")  # of a hexadecimal dump
_MOST_BLANKS: Final = 16  # a passphrase has fewer
# Without capitals, character by character, so that a text keeps its length. Full-width characters
# and typographic dashes become those of ASCII.
_LAST_CAPITAL: Final = 0x1E943
_CAPITALS: Final = {
    code: lower for code in range(_LAST_CAPITAL + 1) if len(lower := chr(code).casefold()) == 1 and lower != chr(code)
}
_FULL_WIDTH: Final = {code + 0xFEE0: chr(code).lower() for code in range(0x21, 0x7F)}
_DASHES: Final = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63"), "-")
_FOLD: Final = _CAPITALS | _FULL_WIDTH | _DASHES
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Controls, and the characters that show nothing: Unicode's format characters (soft hyphen, joiners,
# marks of direction), fillers, and all blanks but the ordinary one.
_UNSEEN: Final = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680"
    "\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u202a-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_BREAKS: Final = "\n\v\f\r\x85\u2028\u2029"
# What shows nothing, and breaks of lines with the blanks of the next line.
_GAPS: Final = rf"(?P<break>[\t{_BREAKS}]\s*)|\x1b\[[0-?]*[ -/]*[@-~]|[{_UNSEEN}]+"
_GAP: Final = re.compile(_GAPS)
# Each alternative takes a whole run of what it begins with, so that no character is tried twice.
_ESCAPE: Final = re.compile(
    r"(?P<bytes>(?:%(?:25)*[0-9a-f]{2})+|(?:\\+x[0-9a-f]{2})+)"
    r"|(?P<units>(?:\\+u[0-9a-f]{4})+)|\\+u\{(?P<code>[0-9a-f]{1,6})\}"
    r"|(?P<newline>\\+[nr]\s*)|\\+[bft]?"
    r"|&(?:amp;)*(?P<html>[a-z][a-z0-9]{1,31}|#[0-9]{1,9}|#x[0-9a-f]{1,9});|</?[a-z]{1,6} ?/?>"
    # As `printable` shows a character: with five digits only if it is one that shows nothing.
    r"|(?<=u)\+(?P<shown>e0[0-9a-f]{3}|1(?:10[bc]d|343[0-9a-f]|bca[0-3]|d17[3-9a])|[0-9a-f]{4})"
    f"|{_GAPS}"
)
_QUOTED_PRINTABLE: Final = re.compile("(?P<bytes>(?:=[0-9a-f]{2})+)")
# What a gap, an escape and quoted-printable can begin with.
_GAP_SIGN: Final = re.compile(rf"[\t\x1b{_BREAKS}{_UNSEEN}]")
_SIGN: Final = re.compile(rf"[\\%&<+\t\x1b{_BREAKS}{_UNSEEN}]")
_QUOTED_PRINTABLE_SIGN: Final = re.compile("=(?=[2-9a-f][0-9a-f]|0[9ad])")
_ONE_BYTE: Final = re.compile(r"(?:%(?:25)*|\\+x|=)([0-9a-f]{2})")
_ONE_UNIT: Final = re.compile(r"\\+u([0-9a-f]{4})")


# HTML's names without capitals. Where two names then are one, as Dagger and dagger, the one without
# capitals counts.
_ENTITIES: Final = {name.lower(): text for name, text in html5.items()} | {
    name: text for name, text in html5.items() if name.islower()
}


class View(NamedTuple):
    """A text without capitals, perhaps with its spelling undone.

    Character i stands for the characters `starts[i]` to `ends[i]` of the text as it came; both are
    ranges if nothing was undone.
    """

    text: str
    starts: list[int] | range
    ends: list[int] | range


class _Piece(NamedTuple):
    character: str
    start: int
    end: int


def plain(text: str) -> View:
    """Return the text as it came."""
    folded = text.translate(_FOLD)
    return View(folded, range(len(folded)), range(1, len(folded) + 1))


def views(text: str) -> list[View]:
    """Return the text as it came, and as it reads after each step of undoing its spelling.

    Each step counts, because one step too many may undo a part of a secret: `%25` before `ca` gives
    `%ca`, which the next step takes for an escape.
    """
    found = [plain(text)]
    if _SIGN.search(found[0].text):
        _undo(found)
    if _QUOTED_PRINTABLE_SIGN.search(found[-1].text):
        # Last, because in `key=3d91` the sign escapes nothing.
        _append(found, _replaced(found[-1], _QUOTED_PRINTABLE_SIGN, _QUOTED_PRINTABLE))
        _undo(found)
    return found


def forms(secret: str) -> frozenset[str]:
    """Return what to search for in views: the secret plain, in base64 and hexadecimal."""
    folded = secret.translate(_FOLD)
    encoded = secret.encode("utf-8", "surrogatepass")
    found = {
        folded,
        views(secret)[-1].text,
        secret.upper().translate(_FOLD),  # ß becomes SS
        folded.rstrip("="),
        folded.replace("+", "-").replace("/", "_"),  # as base64 for URLs
        folded.replace("+", " "),
        folded.replace(" ", "+"),
        folded.replace(" ", ""),
        # A line may be wrapped at a blank, which then is gone.
        *(folded[: at.start()] + folded[at.end() :] for at in islice(re.finditer(" ", folded), _MOST_BLANKS)),
        encoded.hex(),
        *(separator.join(f"{byte:02x}" for byte in encoded) for separator in _BETWEEN_BYTES),
        *_in_base64(encoded),
    }
    if _UUID.fullmatch(folded):
        found |= {folded.replace("-", other) for other in ("", "_", " ")}
    return frozenset(found)


def _in_base64(secret: bytes) -> Iterator[str]:
    """Yield base64 of the secret, alone and inside a longer text, such as `user:password`."""
    for write in (base64.b64encode, base64.urlsafe_b64encode):
        yield write(secret).decode().rstrip("=").translate(_FOLD)
        # The first and last characters may share bits with what stands before and after the secret.
        for before, shared in ((0, 0), (1, 2), (2, 3)):
            length = before + len(secret)
            yield write(bytes(before) + secret).decode()[shared : length * 8 // 6].translate(_FOLD)


def _undo(found: list[View]) -> None:
    """Append what the last view reads like after each further step."""
    _append(found, _replaced(found[-1], _GAP_SIGN, _GAP))  # first, because a break may split an escape
    for _ in range(_ROUNDS):
        if not _append(found, _replaced(found[-1], _SIGN, _ESCAPE)):
            break


def _append(found: list[View], view: View) -> bool:
    if view is found[-1]:
        return False
    found.append(view)
    return True


def _replaced(view: View, sign: re.Pattern[str], escape: re.Pattern[str]) -> View:
    """Return the view with each escape, which begins with a sign, replaced by what it means."""
    text = view.text
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    for at in [match.start() for match in sign.finditer(text)]:
        match = escape.match(text, at) if at >= position else None
        if match is None:
            continue
        start = _start(match, position)
        parts.append(text[position:start])
        starts += view.starts[position:start]
        ends += view.ends[position:start]
        for character, first, last in _meaning(match):
            parts.append(character)
            starts.append(view.starts[first])
            ends.append(view.ends[last - 1])
        position = match.end()
    if not position:
        return view
    parts.append(text[position:])
    starts += view.starts[position:]
    ends += view.ends[position:]
    return View("".join(parts), starts, ends)


def _start(match: re.Match[str], earliest: int) -> int:
    """Return where an escape begins: `U+200B` with its U, a break with what stands before it.

    That is blanks, and the sign `=` with which quoted-printable breaks a line.
    """
    start = match.start()
    if match.lastgroup == "shown":
        return max(start - 1, earliest)
    if match.lastgroup in {"break", "newline"}:
        while start > earliest and match.string[start - 1] in " =":
            start -= 1
    return start


def _meaning(match: re.Match[str]) -> Iterator[_Piece]:
    """Yield the characters that an escape stands for, without capitals; none for a gap."""
    match match.lastgroup:
        case "bytes":
            units = list(_ONE_BYTE.finditer(match[0]))
            text = bytes(int(each[1], 16) for each in units).decode("utf-8", "surrogateescape")
            yield from _spread(text, "utf-8", 1, units, match.start())
        case "units":
            units = list(_ONE_UNIT.finditer(match[0]))
            text = bytes.fromhex("".join(each[1] for each in units)).decode("utf-16-be", "surrogatepass")
            yield from _spread(text, "utf-16-be", 2, units, match.start())
        case "html":
            name = f"{match['html']};"
            text = _ENTITIES.get(name) or html.unescape(f"&{name}")
            yield from (_Piece(each, *match.span()) for each in text.translate(_FOLD))
        case "code" if int(match["code"], 16) <= sys.maxunicode:
            yield _Piece(chr(int(match["code"], 16)).translate(_FOLD), *match.span())


def _spread(text: str, encoding: str, size: int, units: list[re.Match[str]], offset: int) -> Iterator[_Piece]:
    """Yield each character of a decoded text with the place of the units that spell it."""
    first = 0
    for character in text:
        errors = "surrogateescape" if size == 1 else "surrogatepass"
        last = first + len(character.encode(encoding, errors)) // size
        yield _Piece(character.translate(_FOLD), offset + units[first].start(), offset + units[last - 1].end())
        first = last
