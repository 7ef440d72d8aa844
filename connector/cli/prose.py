"""Breaks sentences at blanks, so that a terminal does not break them inside words."""

from __future__ import annotations

import re

from rich.cells import cell_len

_WORD = re.compile(r"(\s*)(\S+)")


def wrapped(text: str, width: int, hanging: str = "") -> list[str]:
    """Return a text as lines of at most `width` cells, of which a Korean letter takes two.

    A word that is longer, such as a path, stays whole in a line of its own. Later lines begin with
    `hanging`, or else as far in as the first.
    """
    if cell_len(text) <= width:
        return [text]
    begin = hanging or text[: len(text) - len(text.lstrip())]
    lines, room = [""], width
    for blanks, word in _WORD.findall(text):
        cells = cell_len(blanks) + cell_len(word)
        if cells > room and lines[-1].strip():
            lines.append(begin + word)
            room = width - cell_len(begin) - cell_len(word)
        else:
            lines[-1] += blanks + word
            room -= cells
    return lines
