"""Turns an event into a line of JSON or console text in which every character is visible."""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from connector.core.printable import printable
from connector.core.seoul_time import SEOUL
from connector.logs.bounds import LONGEST_TEXT, bounded_traceback, cut

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

    from connector.logs.redaction import Redactor

_NOT_ASCII_PRINTABLE: Final = re.compile("[^ -~]")


def processors(form: str, redactor: Redactor) -> list[Processor]:
    """Return the last processors of structlog; `form` is `console` or `json`."""

    def bound_traceback(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        for name in ("exception", "stack"):
            if isinstance(event.get(name), str):
                event[name] = bounded_traceback(event[name], redactor)
        return event

    def show(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        # We redact before colours are added, because their codes would hide where a word starts.
        return {name: _shown(name, value, redactor) for name, value in event.items()}

    def in_seoul(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if "timestamp" not in event:
            return event
        at = datetime.fromisoformat(event["timestamp"]).astimezone(SEOUL)
        return {**event, "timestamp": at.isoformat(timespec="milliseconds")}

    # Tracebacks are plain in both forms: richer ones show local variables, which may be secrets.
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    colors = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    plain = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        bound_traceback,
        *([in_seoul, show, plain] if form == "console" else [lambda _logger, _method, event: to_json(event, redactor)]),
    ]


def to_json(event: EventDict, redactor: Redactor) -> str:
    """Return the event as one line of JSON, with escapes for invisible and control characters.

    Time, level and event come first, where people look.
    """
    ordered = {**{name: event[name] for name in FIRST if name in event}, **event}
    text = json.dumps(ordered, ensure_ascii=False, default=lambda value: cut(str(value), LONGEST_TEXT, redactor))
    return _NOT_ASCII_PRINTABLE.sub(lambda match: _as_json(match[0]), text)


def encodable(text: str, encoding: str) -> str:
    """Return the text with JSON's escapes for all characters that the encoding does not have."""
    return text.encode(encoding, _ESCAPE).decode(encoding)


def _as_json(character: str) -> str:
    return character if printable(character) == character else json.dumps(character)[1:-1]


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


FIRST: Final = ("timestamp", "level", "event")
_ESCAPE: Final = "kis-bond-json-escape"
codecs.register_error(_ESCAPE, _escaped)


class _Repr(str):
    """Text that is its own repr: the console's renderer shows the repr of a text with blanks."""

    __slots__ = ()
    __repr__ = str.__str__


def _shown(name: str, value: Any, redactor: Redactor) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if name in {"exception", "stack"}:
        return "\n".join(printable(line) for line in redactor.clean(value).split("\n"))
    if isinstance(value, str):
        return printable(redactor.clean(value))
    return _Repr(printable(redactor.clean(repr(value), LONGEST_TEXT)))
