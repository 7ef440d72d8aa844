"""What commands print: lines and JSON, on streams that may fail."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import logging
import os
import re
import select
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog
from rich.console import Console

from connector.cli.prose import wrapped
from connector.core.printable import printable
from connector.errors import NotInTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Wider than any row: without a terminal nobody sees the width, and a wrapped line would break
# the program that reads it.
_PIPED_WIDTH = 2000
_USUAL_WIDTH = 80  # of a terminal that does not tell, and of a pipe
# Others choose how long their texts are: more than this is not shown in tables and lines.
LONGEST_TEXT = 1_000
LONGEST_NAME = 200  # the contract of the control topic allows a list's name no more
_NOT_ASCII = re.compile(r"[^ -~]")


class OutputFailed(NotInTime, OSError):
    """stdout could not be written."""


class ReaderGone(OutputFailed):
    """The program that read stdout has ended, as `head` does; the command then ends with 0."""

    exit_code = 0


class _Stdout(io.TextIOWrapper):
    """stdout, with errors that end any command with a sentence instead of a traceback."""

    def write(self, text: str) -> int:
        with _failures_named():
            return super().write(text)

    def flush(self) -> None:
        with _failures_named():
            super().flush()


class _Stderr(io.TextIOWrapper):
    """stderr; a message that cannot be written is dropped and does not change the exit code."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OutputFailed), _failures_named():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OutputFailed), _failures_named():
            super().flush()


@contextlib.contextmanager
def _failures_named() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as error:
        raise OutputFailed(f"The output could not be written: {error.strerror}.") from None


@contextlib.contextmanager
def guarded_streams() -> Iterator[None]:
    """Make stdout and stderr escape what their encoding lacks, and fail with a sentence.

    A stream that somebody has replaced already, as tests do, is left alone.
    """
    for name, guarded in (("stdout", _Stdout), ("stderr", _Stderr)):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:
            encoding, line_buffering = stream.encoding, stream.line_buffering
            setattr(sys, name, guarded(stream.detach(), encoding, "backslashreplace", line_buffering=line_buffering))
    try:
        yield
    finally:
        _discard_unwritable(sys.stdout)
        _discard_unwritable(sys.stderr)


def _discard_unwritable(stream: TextIO | None) -> None:
    """Drop text that cannot be written: Python flushes once more at exit, and would fail there."""
    if isinstance(stream, io.TextIOWrapper):
        try:
            io.TextIOWrapper.flush(stream)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def silence_logs() -> None:
    """Keep stdout for data: until a command configures logs, only what ends it is logged."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def raise_if_reader_gone() -> None:
    """Raise ReaderGone if stdout is a pipe that nobody reads, to end a command that only prints."""
    events: list[tuple[int, int]] = []
    with contextlib.suppress(AttributeError, OSError):  # stdout may be closed, or no file at all
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        events = poll.poll(0)
    if any(event & select.POLLERR for _, event in events):
        raise ReaderGone


def say(sentence: str, *, err: bool = False) -> None:
    """Print a sentence for people; a terminal gets lines that fit it and end between words."""
    text, stream = printable(sentence), sys.stderr if err else sys.stdout
    for line in wrapped(text, terminal_width(stream)) if is_terminal(stream) else [text]:
        print_line(line, err=err)


def print_line(line: str, *, err: bool = False) -> None:
    """Print one line; a line break in foreign text is shown as an escape and forges no line.

    If the reader has gone, the line is dropped: a command goes on with what it was asked to do.
    """
    if (stream := sys.stderr if err else sys.stdout) is not None:
        with contextlib.suppress(ReaderGone):
            print(printable(line), file=stream, flush=True)


def remark(line: str) -> None:
    """Tell a person at a terminal what a command is doing; a script's stderr gets nothing."""
    if is_terminal(sys.stderr):
        say(line, err=True)


def say_lines(text: str, *, err: bool = False) -> None:
    """Print sentences for people, one a line."""
    for line in text.split("\n"):
        say(line, err=err)


def print_lines(text: str) -> None:
    """Print the lines of a file of our own making, whatever the terminal's width is."""
    for line in text.split("\n"):
        print_line(line)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    print_line(to_json(value))


def to_json(value: Any) -> str:
    """Return a value as one line of JSON that stdout can show.

    What a terminal would act on or not show is escaped. If stdout is not UTF-8, all but ASCII is.
    """
    is_utf8 = sys.stdout is None or codecs.lookup(sys.stdout.encoding).name == "utf-8"
    return _NOT_ASCII.sub(_json_escape, json.dumps(value, ensure_ascii=not is_utf8))


def _json_escape(character: re.Match[str]) -> str:
    return character[0] if printable(character[0]) == character[0] else json.dumps(character[0])[1:-1]


def cell(text: str) -> str:
    """Return a text as one line that stdout can show, so that the columns of a table line up."""
    encoding = "utf-8" if sys.stdout is None else sys.stdout.encoding
    return printable(short(text)).encode(encoding, "backslashreplace").decode(encoding)


def short(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text of others, cut if it is too long to show."""
    return text if len(text) <= longest else f"{text[:longest]}… (cut, {len(text)} characters)"


def short_names(names: Iterable[str]) -> str:
    """Return names of lists as one text, each cut if it is too long to show."""
    return short(", ".join(short(name, LONGEST_NAME) for name in names))


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal."""
    return stream is not None and stream.isatty()


def terminal_width(stream: TextIO | None) -> int:
    """Return the width in cells of what shows a stream: COLUMNS, the terminal's, or else 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and 0 < int(given[:9]) <= _PIPED_WIDTH:
        return int(given)
    if stream is not None:
        with contextlib.suppress(AttributeError, OSError, ValueError):  # it may be closed, or no file at all
            return os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH
    return _USUAL_WIDTH


def console(*, stderr: bool = False) -> Console:
    """Return a console that wraps and colours only on a terminal, whatever FORCE_COLOR says."""
    stream = sys.stderr if stderr else sys.stdout
    on_terminal = is_terminal(stream)
    # The cells hold text of others: its brackets and colons are not markup or emoji names.
    return Console(
        stderr=stderr,
        width=None if on_terminal else _PIPED_WIDTH,
        force_terminal=on_terminal,
        highlight=False,
        markup=False,
        emoji=False,
    )
