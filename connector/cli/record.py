"""`kis-bond record`: copy frames out of a journal into a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, say
from connector.cli.progress import Progress
from connector.core.time_span import is_time, seoul_date, span
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from connector.app.record import Recorded

EXAMPLES = (
    "Examples: kis-bond record --to day.jsonl.gz | "
    "kis-bond record --to open.jsonl.gz --from 09:00 --to 09:30 --journal /backup/journal"
)


def record(
    context: typer.Context,
    *,
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            metavar="FILE|TIME",
            help="The new file. Given once more with a time: only frames received before it.",
        ),
    ],
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Only frames received then or later: RFC 3339, or HH:MM in Seoul."),
    ] = None,
    journal: Annotated[
        Path | None, typer.Option("--journal", metavar="PATH", help="The journal's folder. Default: journal.path.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Copy a journal's frames into a file, with their receive times and no secrets.

    A running connector's journal is read too, and not disturbed.
    Encrypted frames are written decrypted. An HH:MM is of today in Seoul.
    """
    file, end = _file_and_end(to)
    try:
        wanted = span(begin, end, seoul_date(time.time_ns()))
    except ValueError as error:
        raise RequestMalformed(f"{error}.") from None
    folder = journal or load_settings(context, config).journal.path
    # Imported only here, so that `--help` need not load the journal.
    from connector.app.record import record as copy

    progress = Progress()
    try:
        recorded = copy(
            folder, file, wanted, lambda done, all_: progress.show(f"{done >> 20:,} of {all_ >> 20:,} MiB read")
        )
    finally:
        progress.end()
    if as_json:
        print_json(_as_json(file, recorded))
    else:
        for line in _lines(file, recorded):
            say(line)


def _file_and_end(values: list[str]) -> tuple[Path, str | None]:
    times = [value for value in values if is_time(value)]
    files = [value for value in values if not is_time(value)]
    if len(files) != 1 or not files[0] or len(times) > 1:
        raise RequestMalformed(
            "--to is needed once with the file to write, and may be given once more with a time, "
            "such as --to day.jsonl.gz --to 15:30."
        )
    return Path(files[0]), times[0] if times else None


def _as_json(file: Path, recorded: Recorded) -> dict[str, Any]:
    return {
        "file": str(file),
        "frames": recorded.frames,
        "first_received_ns": recorded.first_ns,
        "last_received_ns": recorded.last_ns,
        "undecryptable": dict(recorded.undecryptable),
        "cleaned": recorded.cleaned,
        "damaged_bytes": recorded.skipped_bytes,
        "deleted_segments": recorded.deleted_segments,
    }


def _lines(file: Path, recorded: Recorded) -> list[str]:
    from connector.app.clock import rfc3339

    lines = [f"Frames in {file}: {recorded.frames:,}."]
    if recorded.first_ns is not None and recorded.last_ns is not None:
        lines.append(f"They were received from {rfc3339(recorded.first_ns)} to {rfc3339(recorded.last_ns)}.")
    lines += [
        f"Encrypted frames left out: {count:,}, because {_CAUSES[reason]}."
        for reason, count in sorted(recorded.undecryptable.items())
    ]
    if recorded.cleaned:
        lines.append(
            f"Messages other than trades, in which what looked like a secret was hidden: {recorded.cleaned:,}."
        )
    if recorded.skipped_bytes:
        lines.append(f"Damaged bytes of the journal, which were skipped: {recorded.skipped_bytes:,}.")
    if recorded.deleted_segments:
        lines.append(f"Segments that were deleted before they were read: {recorded.deleted_segments:,}. Run it again.")
    return lines


_CAUSES = {
    "DECRYPT_NO_KEY": "the journal has no key of their session (DECRYPT_NO_KEY)",
    "DECRYPT_FAILED": "no key of their session opens them (DECRYPT_FAILED)",
}
