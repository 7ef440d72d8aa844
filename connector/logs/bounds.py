"""Bounds what one event brings into the log: peers choose how long their texts are."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from connector.logs.redaction import HIDDEN, Redactor, names_secret

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LONGEST_TEXT: Final = 1_000
LONGEST_NAME: Final = 200
LONGEST_TRACEBACK: Final = 20_000
MOST_LINES: Final = 1_000
MOST_ITEMS: Final = 100
DEEPEST: Final = 5
_NAMES: Final = ("list",)  # fields that hold a list's name, which has at most 200 characters
_NOT_TEXT: Final = ("exc_info", "stack_info", "positional_args")


def cut(text: str, limit: int, redactor: Redactor) -> str:
    """Return the text; if it is longer than `limit`, return a start without part of a secret."""
    return redactor.clean(text, limit) if len(text) > limit else text


def bounded(fields: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return an event's fields with long texts cut, and without the values of secret fields."""
    return {
        name: value if name in _NOT_TEXT or name.startswith("_") else _bounded(name, value, redactor, DEEPEST)
        for name, value in fields.items()
    }


def bounded_traceback(text: str, redactor: Redactor) -> str:
    """Return a traceback with long lines cut: an exception's message may have any length."""
    lines = [cut(line, LONGEST_TEXT, redactor) for line in text.split("\n", MOST_LINES)]
    return cut("\n".join(lines), LONGEST_TRACEBACK, redactor)


def _bounded(name: str, value: Any, redactor: Redactor, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if names_secret(name):
        return HIDDEN
    if isinstance(value, str):
        return cut(value, LONGEST_NAME if name in _NAMES else LONGEST_TEXT, redactor)
    if isinstance(value, dict | list | tuple | set | frozenset):
        return _bounded_items(name, value, redactor, depth - 1) if depth else "…"
    return value  # rendering makes it text; if that fails, only this line is lost


def _bounded_items(name: str, value: Collection[Any], redactor: Redactor, depth: int) -> Any:
    first = islice(value, MOST_ITEMS)
    if isinstance(value, dict):
        texts = {cut(str(key), LONGEST_NAME, redactor): value[key] for key in first}
        return {key: _bounded(key, each, redactor, depth) for key, each in texts.items()}
    return [_bounded(name, each, redactor, depth) for each in first]
