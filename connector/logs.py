"""Logs: one line an event on stdout, free of secrets, written by a thread so that a blocked stdout stops nobody else."""

from __future__ import annotations

import atexit
import logging
import queue
import sys
import threading
from typing import TYPE_CHECKING

import structlog

from connector.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import Processor

    from connector.settings import LogSettings

_LINES_WAITING = 10_000
_LAST_LINES_SECONDS = 1.0
# At DEBUG these print the approval key, the AES key and SASL bytes, so no setting opens them further.
_PINNED = ("websockets", "aiokafka", "aiohttp")

_redactor = Redactor()
hide = _redactor.hide
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
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = QueuedHandler(write or write_to_stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(log.format)))
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
        plain = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback)
        return [structlog.stdlib.ProcessorFormatter.remove_processors_meta, plain]
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]


class QueuedHandler(logging.Handler):
    """Formats and redacts in the caller's thread, and leaves the writing to its own."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self.dropped = 0
        self._write = write
        self._lines: queue.Queue[str | None] = queue.Queue(_LINES_WAITING)
        self._writer = threading.Thread(target=self._drain, name="log-writer", daemon=True)
        self._writer.start()
        atexit.register(self.close)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line; a full queue drops it and counts it."""
        try:
            line = _redactor.clean(self.format(record))
        except Exception as error:  # noqa: BLE001 - a record that cannot be rendered must not end the program
            line = _unreadable(record, error)
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Give the last lines a second to be written, and no more: stdout may be blocked for good."""
        atexit.unregister(self.close)
        super().close()
        try:
            self._lines.put_nowait(None)
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
                    self._write(f'{{"level": "warning", "logger": "connector.logs", "event": "log_lines_dropped", "total": {told}}}\n')
            except (OSError, ValueError):
                # A closed stdout leaves nowhere to say so; the connector goes on without logs.
                self.dropped += 1


def _unreadable(record: logging.LogRecord, error: Exception) -> str:
    return f'{{"level": "error", "logger": "{record.name}", "event": "log_line_unreadable", "why": "{type(error).__name__}"}}'


def write_to_stdout(text: str) -> None:
    """Write to whatever stdout is at this moment, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
