"""Logs on stdout: one line per event, without secrets, each kind of line once a minute.

A separate thread redacts and writes the lines, so that neither a blocked stdout nor a long text
holds up the connector.
"""

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
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import structlog

from connector.logs import rendering
from connector.logs.bounds import LONGEST_TEXT, bounded, cut
from connector.logs.redaction import Redactor
from connector.logs.repeats import Repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, Processor, WrappedLogger

    from connector.settings import LogSettings

_MAX_QUEUED_LINES = 10_000
_CLOSE_SECONDS = 1.0
# These values tell whether a line is a repeat. Most numbers are measurements, which differ between
# repeats, but slot and partition say what a line is about.
_IDENTIFYING_TYPES = (str, list, BaseException)
_IDENTIFYING_NUMBERS = ("slot", "partition")
_OWN_COLUMNS = ("event", "timestamp")
# At DEBUG, these libraries print the approval key, the AES key, SASL bytes and AWS' credentials, so
# they get INFO.
_NEVER_DEBUG = ("websockets", "aiokafka", "aiohttp", "botocore", "boto3", "urllib3", "aws_msk_iam_sasl_signer")

_redactor = Redactor()
hide = _redactor.hide
hide_issued = _redactor.hide_issued
clean = _redactor.clean
clean_known = _redactor.clean_known


def configure(log: LogSettings, write: Callable[[str], None] | None = None) -> QueuedHandler:
    """Send the records of structlog and `logging` through one queue to `write` (default: stdout).

    Return the handler, which counts the lines it dropped. A second call replaces the first.
    """
    level = logging.getLevelNamesMapping()[log.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _stamp,
        structlog.stdlib.PositionalArgumentsFormatter(),
        _bound,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    form = log.format
    if form == "auto":
        form = "console" if write is None and sys.stdout is not None and sys.stdout.isatty() else "json"
    handler = QueuedHandler(write or write_to_stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=rendering.processors(form, _redactor))
    )
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if isinstance(each, QueuedHandler)]:
        root.removeHandler(earlier)
        earlier.close()
    root.addHandler(handler)
    root.setLevel(level)
    for name in _NEVER_DEBUG:
        logging.getLogger(name).setLevel(max(level, logging.INFO))
    return handler


def _bound(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return bounded(event, _redactor)


def _stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the time in UTC."""
    event["timestamp"] = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return event


def lines_left_out() -> dict[str, int]:
    """Count the lines not written, by reason: `dropped` (stdout was blocked) or `repeated`."""
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, QueuedHandler)]
    return {"dropped": sum(each.dropped for each in handlers), "repeated": sum(each.repeated for each in handlers)}


class _Kind(NamedTuple):
    """What two lines have in common when one repeats the other.

    Our lines have in common the event and its fields without most numbers. Lines of other libraries
    have in common the text without its arguments, and the exception.
    """

    logger: str
    level: int
    event: str
    fields: tuple[tuple[str, str], ...] = ()


def _cut(text: str) -> str:
    return cut(text, LONGEST_TEXT, _redactor)


def _kind_of(record: logging.LogRecord) -> _Kind:
    if not isinstance(record.msg, dict):
        raised = record.exc_info[1] if record.exc_info else None
        exception = (("exception", _cut(repr(raised))),) if raised else ()
        return _Kind(record.name, record.levelno, _cut(str(record.msg)), exception)
    fields = tuple(
        (name, _cut(str(value)))
        for name, value in sorted(record.msg.items())
        if (isinstance(value, _IDENTIFYING_TYPES) or name in _IDENTIFYING_NUMBERS) and name not in _OWN_COLUMNS
    )
    return _Kind(record.name, record.levelno, str(record.msg.get("event")), fields)


class QueuedHandler(logging.Handler):
    """Formats each line in the caller's thread, and redacts and writes it in another thread."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self.dropped = 0
        self.repeated = 0
        self._repeats = Repeats()
        self._write = write
        self._lines: queue.Queue[str | None] = queue.Queue(_MAX_QUEUED_LINES)
        self._writer = threading.Thread(target=self._drain, name="log-writer", daemon=True)
        self._writer.start()
        atexit.register(self.close)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line, unless it repeats another. If the queue is full, drop and count it."""
        now = time.monotonic()
        self._report_repeats(now)
        try:
            if not self._repeats.admit(_kind_of(record), now):
                self.repeated += 1
                return
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a record that cannot be formatted must not end the program
            line = _unreadable_line(record, error)
        self._queue(line)

    def _report_repeats(self, now: float) -> None:
        for kind, count in self._repeats.expire(now):
            if isinstance(kind, _Kind):
                level = logging.getLevelName(kind.level).lower()
                left_out = {"repeated": count, "of": kind.event, "of_logger": kind.logger, **dict(kind.fields)}
                event = {**left_out, "event": "repeats_left_out", "level": level, "logger": __name__}
                # The formatter knows structlog's records by their attributes `_logger` and `_name`.
                record = {"msg": _stamp(None, "", event), "_logger": None, "_name": level}
                self._queue(self.format(logging.makeLogRecord(record)))

    def _queue(self, line: str) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write the lines still queued, and end the thread.

        Give up after a second without progress, because stdout may be blocked for good.
        """
        atexit.unregister(self.close)
        super().close()
        with self.lock or contextlib.nullcontext():
            self._report_repeats(math.inf)
        try:
            self._lines.put(None, timeout=_CLOSE_SECONDS)
        except queue.Full:
            return
        waiting = None
        while self._writer.is_alive() and self._lines.qsize() != waiting:
            waiting = self._lines.qsize()
            self._writer.join(_CLOSE_SECONDS)

    def _drain(self) -> None:
        reported = 0
        while (line := self._lines.get()) is not None:
            try:
                self._write(_redactor.clean(line) + "\n")
                if self.dropped > reported:
                    reported = self.dropped
                    about = {"level": "warning", "logger": "connector.logs", "event": "log_lines_dropped"}
                    self._write(json.dumps(about | {"total": reported}) + "\n")
            except (OSError, ValueError):
                # stdout is closed, so nothing can report it; the connector continues without logs.
                self.dropped += 1


def _unreadable_line(record: logging.LogRecord, error: Exception) -> str:
    why = type(error).__name__
    return json.dumps({"level": "error", "logger": record.name, "event": "log_line_unreadable", "why": why})


def write_to_stdout(text: str) -> None:
    """Write to the current `sys.stdout` at once; escape characters its encoding lacks.

    Without a stdout, because the process was started with it closed, the text is dropped. Raises
    OSError and ValueError.
    """
    if sys.stdout is None:
        return
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a stream of text alone, such as io.StringIO
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    # Past the buffer: when Python ends, it aborts while another thread waits in that.
    left = memoryview(rendering.encodable(text, sys.stdout.encoding).encode(sys.stdout.encoding))
    while left:
        written = getattr(buffer, "raw", buffer).write(left)
        if written is None:
            raise BlockingIOError
        left = left[written:]
