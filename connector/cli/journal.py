"""`kis-bond journal`: show the journal's files, and check them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.options import Config, Json, load_settings
from connector.cli.output import print_json, say
from connector.cli.table import print_table
from connector.errors import JournalUnusable
from connector.shell.journal.inspection import inspect as read_journal

if TYPE_CHECKING:
    from connector.shell.journal.inspection import Inspection

app = typer.Typer(
    no_args_is_help=True, help="Look at the journal, beside a running connector too. Nothing is changed or locked."
)

Folder = Annotated[
    Path | None, typer.Option("--journal", metavar="PATH", help="The journal's folder. Default: journal.path.")
]


@app.command(epilog="Example: kis-bond journal inspect --json | jq .pending")
def inspect(context: typer.Context, *, journal: Folder = None, as_json: Json = False, config: Config = None) -> None:
    """Show the segments, and how far delivery is."""
    found = _read(context, journal, config)
    if as_json:
        print_json(_as_json(found))
        return
    rows = [
        (each.file, str(each.first), str(each.last), f"{each.bytes:,}", "damaged" if each.damaged else "")
        for each in found.segments
    ]
    print_table(("segment", "first", "last", "bytes", "damage"), rows)
    for line in _sums(found):
        say(line)


@app.command(epilog="Example: kis-bond journal verify --journal /backup/journal")
def verify(context: typer.Context, *, journal: Folder = None, as_json: Json = False, config: Config = None) -> None:
    """Read every record. Damage ends with 4; a torn end of the last segment is no damage."""
    found = _read(context, journal, config)
    if as_json:
        print_json(_as_json(found))
    if problems := found.problems:
        raise JournalUnusable("\n".join(problems))
    if not as_json:
        say(f"{found.path} is sound: {len(found.segments)} segments, {found.pending:,} frames pending.")


def _read(context: typer.Context, journal: Path | None, config: str | None) -> Inspection:
    return read_journal(journal or load_settings(context, config).journal.path)


def _sums(found: Inspection) -> list[str]:
    torn = [f"The last segment ends in {found.torn_bytes:,} bytes of a torn record."] if found.torn_bytes else []
    sums = (
        f"{found.bytes:,} bytes in all. Watermark {found.watermark:,}, pending {found.pending:,}, "
        f"corrupt {found.corrupt:,}."
    )
    return [sums, *torn, *found.problems]


def _as_json(found: Inspection) -> dict[str, Any]:
    return {
        "segments": [each._asdict() for each in found.segments],
        "pending": found.pending,
        "watermark": found.watermark,
        "bytes": found.bytes,
        "corrupt": found.corrupt,
    }
