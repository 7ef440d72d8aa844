"""`kis-bond bonds`: save KIS's bond master file on this machine, and search it."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.options import Json  # noqa: TC001 - typer reads annotations at run time
from connector.cli.output import print_json, say
from connector.cli.table import Column, print_table
from connector.core.bonds import codes, master
from connector.core.seoul_time import SEOUL
from connector.core.url_secrets import without_secrets
from connector.errors import RequestMalformed
from connector.shell.bonds import cache

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from connector.core.bonds.master import Bond, Master

KIS_URL = "https://new.real.download.dws.co.kr/common/master/bond_code.mst.zip"
_BAD_ROWS_SHOWN = 20
COLUMNS = (
    Column("isin", "whole"),
    Column("name", "cut", least=16),
    Column("type", turn=2, least=24),
    Column("class", turn=1, least=20),
    Column("issued", "whole"),
    Column("redeemed", "whole"),
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # without // it may be a mistyped one, with a password

app = typer.Typer(
    no_args_is_help=True, help="Look bonds up in KIS's bond master file. Needs neither Kafka nor credentials."
)


@app.command(
    epilog="Examples: kis-bond bonds update | kis-bond bonds update --from bond_code.mst.zip | "
    "kis-bond bonds update --from https://mirror.example/bond_code.mst.zip --json"
)
def update(
    *,
    source: Annotated[
        str, typer.Option("--from", metavar="FILE|URL", help="bond_code.mst, bare or as a zip.")
    ] = KIS_URL,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where to save it. Default: $XDG_CACHE_HOME or ~/.cache, kis-bond/bond_code.mst."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Load the bond master and save it. If that fails, the one saved before stays."""
    path = to or _default_path()
    lines, master = _load(source)
    cache.replace(path, lines)
    matured = sum(bond.is_matured(today()) for bond in master.bonds.values())
    if as_json:
        rows = [{"line": row.line, "problem": row.problem} for row in master.bad_rows]
        report = {
            "bonds": len(master.bonds),
            "matured": matured,
            "lines": master.lines,
            "bad_rows": rows,
            "kept_at": str(path),
        }
        print_json(report)
        return
    say(f"{len(master.bonds):,} bonds, {matured:,} of them matured, from {master.lines:,} lines. Kept at {path}.")
    for row in master.bad_rows[:_BAD_ROWS_SHOWN]:
        say(f"{row} (left out)", err=True)
    if len(master.bad_rows) > _BAD_ROWS_SHOWN:
        say(f"{len(master.bad_rows):,} lines were left out in all; --json lists them.", err=True)


@app.command(
    epilog="Examples: kis-bond bonds search 국고03250 | kis-bond bonds search KR1035 --limit 200 --json | "
    "kis-bond bonds search 통안 --from bond_code.mst"
)
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Part of a name or of an ISIN.")],
    *,
    source: Annotated[
        str | None,
        typer.Option("--from", "--file", metavar="FILE|URL", help="Look in this file. Default: the one update saved."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show at most this many.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the bonds with a text in their name or ISIN, matured ones last."""
    found = master.search(_bonds_of(source), text, today())
    shown = found[:limit]
    if as_json:
        print_json({"bonds": [_as_json(bond, today()) for bond in shown], "found": len(found)})
        return
    if shown:
        print_table(COLUMNS, [_as_row(bond, today()) for bond in shown])
    if not shown:
        say(f"No name or ISIN of a bond contains {text}.", err=True)
    elif len(found) > limit:
        say(f"{limit:,} of {len(found):,} are shown: give a longer text, or a higher --limit.", err=True)


def known_bonds() -> Mapping[str, Bond]:
    """Return the bonds of the saved master by ISIN; none if none was saved.

    If it cannot be read, stderr says so, and no bonds are known.
    """
    path = cache.default_path()
    if path is None:
        return {}
    try:
        return _load(str(path))[1].bonds
    except cache.NotThere:
        return {}
    except RequestMalformed as problem:
        say(f"Bond names are not known: {problem} Load it again with kis-bond bonds update.", err=True)
        return {}


def today() -> date:
    """Return the date in Seoul, which decides whether a bond is matured."""
    return datetime.now(SEOUL).date()


def _default_path() -> Path:
    path = cache.default_path()
    if path is None:
        raise RequestMalformed(
            "This user has no home folder for the bond master. Give a place with --to, or set XDG_CACHE_HOME."
        )
    return path


def _bonds_of(source: str | None) -> Mapping[str, Bond]:
    if source is not None:
        return _load(source)[1].bonds
    path = _default_path()
    try:
        return _load(str(path))[1].bonds
    except cache.NotThere:
        raise RequestMalformed(
            f"There is no bond master at {path} yet. Load it from KIS with kis-bond bonds update. "
            "The demo needs none: its simulated KIS trades every ISIN with a right check digit, and "
            "kis-bond subs ls shows those it trades."
        ) from None


def _load(source: str) -> tuple[bytes, Master]:
    """Return the lines of a bond master, raw and read. Raises RequestMalformed and NotInTime."""
    if _URL.match(source) is None:
        return _read(cache.read(Path(source)), source)
    # Imported only here, so that `--help` need not load the HTTP client.
    from connector.shell.download import download

    return _read(asyncio.run(download(source)), without_secrets(source))


def _read(raw: bytes, name: str) -> tuple[bytes, Master]:
    """Read a bond master. A file without a single bond is refused: it is some other file."""
    lines = master.unpack(raw, name)
    found = master.read(lines)
    if not found.bonds:
        raise RequestMalformed(f"{name} contains no bond ({found.bad_rows[0] if found.bad_rows else 'it is empty'}).")
    return lines, found


def _as_row(bond: Bond, on: date) -> tuple[str, ...]:
    types = dict.fromkeys(codes.TYPES.get(each.type, each.type) for each in bond.listings)
    classes = dict.fromkeys(codes.CLASSES.get(each.bond_class, each.bond_class) for each in bond.listings)
    redeemed = f"{bond.redeemed} matured" if bond.is_matured(on) else str(bond.redeemed or "-")
    return bond.isin, bond.name or "-", ", ".join(types), ", ".join(classes), str(bond.issued or "-"), redeemed


def _as_json(bond: Bond, on: date) -> dict[str, Any]:
    return {
        "isin": bond.isin,
        "name": bond.name,
        "listings": [
            {
                "type": each.type,
                "type_text": codes.TYPES.get(each.type),
                "class": each.bond_class,
                "class_text": codes.CLASSES.get(each.bond_class),
                "interest": each.interest,
                "interest_text": codes.INTERESTS.get(each.interest),
            }
            for each in bond.listings
        ],
        "listed": _text(bond.listed),
        "issued": _text(bond.issued),
        "redeemed": _text(bond.redeemed),
        "matured": bond.is_matured(on),
    }


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
