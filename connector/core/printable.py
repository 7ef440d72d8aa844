"""Makes foreign text safe to show: control and invisible characters become escapes."""

from __future__ import annotations

import re
from typing import Final

_NOT_ASCII_PRINTABLE: Final = re.compile(r"[^ -~]")
_NAMED: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
# Python calls these characters printable, but they are invisible: fillers, the blank Braille
# pattern, the grapheme joiner and the variation selectors.
_UNMARKED: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# What an editor or a shell leaves around a value: blanks, line ends, byte order marks.
_EDGES: Final = re.compile(r"\A[\s\ufeff\u200b]+|[\s\ufeff\u200b]+\Z")


def trimmed(value: str) -> str:
    """Return the value without the blanks, line ends and byte order marks around it."""
    return _EDGES.sub("", value)


def printable(text: str) -> str:
    r"""Return `text` as one line that is safe to show on a terminal, in a table or in a log.

    Control characters become escapes such as `\n` and `\x1b`. Other characters that are invisible,
    that change the direction of text or that are not assigned become escapes such as `U+200B`.
    All other characters stay unchanged. So text that was made printable before stays unchanged too.
    """
    return _NOT_ASCII_PRINTABLE.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable() and not _UNMARKED.match(character):
        return character
    code = ord(character)
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0xA0 else f"U+{code:04X}")
