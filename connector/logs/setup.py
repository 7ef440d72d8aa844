"""Logs: one line an event on stdout, free of secrets and of repeats, written by a thread so that a blocked stdout stops nobody else."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import math
import queue
import sys
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

import structlog

from connector.logs.redaction import Redactor
from connector.logs.repeats import Repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, Processor, WrappedLogger

    from connector.settings import LogSettings

_LINES_WAITING = 10_000
_LAST_LINES_SECONDS = 1.0
_KST = timezone(timedelta(hours=9))  # Korea keeps no summer time
# Numbers are measures, which differ from line to line; these tell of whom a line speaks.
_TELLING_KINDS = (str, list, BaseException)
_TELLING_NUMBERS = ("slot", "partition")
# At DEBUG these print the approval key, the AES key and SASL bytes, so no setting opens them further.
_PINNED = ("websockets", "aiokafka", "aiohttp")

_redactor = Redactor()
hide = _redactor.hide
hide_issued = _redactor.hide_issued
clean = _redactor.clean


def configure(log: LogSettings, write: Callable[[str], None] | None = None) -> QueuedHandler:
    """Send structlog's and the standard library's records through one queue to `write`, by default to stdout.

    Returns the handler, which counts the lines it had to drop. A second call replaces the first.
    """
    level = logging.getLevelNamesMapping()[log.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _stamp,
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = QueuedHandler(write or write_to_stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(log.format))
    )
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if isinstance(each, QueuedHandler)]:
        root.removeHandler(earlier)
        earlier.close()
    root.addHandler(handler)
    root.setLevel(level)
    for name in _PINNED:
        logging.getLogger(name).setLevel(max(level, logging.INFO))
    return handler


def _rendering(form: str) -> list[Processor]:
    # Tracebacks are plain text in both forms: the richer ones show local variables, and so secrets.
    if form == "console":
        plain = structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        return [structlog.stdlib.ProcessorFormatter.remove_processors_meta, plain]
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]


def _stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the time in UTC, and as the clock in Seoul shows it."""
    now = datetime.now(UTC)
    event["timestamp"] = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
    event["kst"] = now.astimezone(_KST).isoformat(timespec="milliseconds")
    return event


def lines_left_out() -> dict[str, int]:
    """Return how many lines were not written, by why: `dropped` as nobody read them, or `repeated`."""
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, QueuedHandler)]
    return {"dropped": sum(each.dropped for each in handlers), "repeated": sum(each.repeated for each in handlers)}


class _Saying(NamedTuple):
    """What makes two lines the same: numbers aside, their event and its fields; of other libraries, the text without its arguments."""

    logger: str
    level: int
    event: str
    fields: tuple[tuple[str, str], ...] = ()


def _saying(record: logging.LogRecord) -> _Saying:
    if not isinstance(record.msg, dict):
        raised = record.exc_info[1] if record.exc_info else None
        return _Saying(record.name, record.levelno, str(record.msg), (("exception", repr(raised)),) if raised else ())
    told = sorted(record.msg.items())
    fields = tuple(
        (name, str(value)) for name, value in told if isinstance(value, _TELLING_KINDS) or name in _TELLING_NUMBERS
    )
    without_time = tuple(pair for pair in fields if pair[0] not in {"event", "timestamp", "kst"})
    return _Saying(record.name, record.levelno, str(record.msg.get("event")), without_time)


class QueuedHandler(logging.Handler):
    """Formats and redacts in the caller's thread, and leaves the writing to its own."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self.dropped = 0
        self.repeated = 0
        self._repeats = Repeats()
        self._write = write
        self._lines: queue.Queue[str | None] = queue.Queue(_LINES_WAITING)
        self._writer = threading.Thread(target=self._drain, name="log-writer", daemon=True)
        self._writer.start()
        atexit.register(self.close)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line, unless it repeats another; a full queue drops it and counts it."""
        now = time.monotonic()
        self._tell_of_repeats(now)
        if self._repeats.is_repeat(_saying(record), now):
            self.repeated += 1
            return
        try:
            line = _redactor.clean(self.format(record))
        except Exception as error:  # noqa: BLE001 - a record that cannot be rendered must not end the program
            line = _unreadable(record, error)
        self._queue(line)

    def _tell_of_repeats(self, now: float) -> None:
        for saying, count in self._repeats.ended(now):
            if isinstance(saying, _Saying):
                left_out = {"repeated": count, "of": saying.event, "of_logger": saying.logger, **dict(saying.fields)}
                event = {
                    **left_out,
                    "event": "repeats_left_out",
                    "level": logging.getLevelName(saying.level).lower(),
                    "logger": __name__,
                }
                self._queue(_redactor.clean(json.dumps(_stamp(None, "", event), ensure_ascii=False)))

    def _queue(self, line: str) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Give the last lines a second to find room, another one to be written, and no more: stdout may be blocked for good."""
        atexit.unregister(self.close)
        super().close()
        with self.lock or contextlib.nullcontext():
            self._tell_of_repeats(math.inf)
        try:
            self._lines.put(None, timeout=_LAST_LINES_SECONDS)
        except queue.Full:
            return
        self._writer.join(_LAST_LINES_SECONDS)

    def _drain(self) -> None:
        told = 0
        while (line := self._lines.get()) is not None:
            try:
                self._write(line + "\n")
                if self.dropped > told:
                    told = self.dropped
                    self._write(
                        f'{{"level": "warning", "logger": "connector.logs", "event": "log_lines_dropped", "total": {told}}}\n'
                    )
            except (OSError, ValueError):
                # A closed stdout leaves nowhere to say so; the connector goes on without logs.
                self.dropped += 1


def _unreadable(record: logging.LogRecord, error: Exception) -> str:
    return f'{{"level": "error", "logger": "{record.name}", "event": "log_line_unreadable", "why": "{type(error).__name__}"}}'


def write_to_stdout(text: str) -> None:
    """Write to whatever stdout is at this moment, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
