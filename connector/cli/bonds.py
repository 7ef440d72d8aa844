"""`kis-bond bonds`: KIS's bond master file, kept on this machine to look bonds up in."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from connector.cli.options import Json  # noqa: TC001 - the library reads annotations as it runs
from connector.cli.table import print_table
from connector.core.bonds import codes, master
from connector.errors import RequestMalformed
from connector.shell.bonds import cache

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from connector.core.bonds.master import Bond, Master

KIS_URL = "https://new.real.download.dws.co.kr/common/master/bond_code.mst.zip"
_BAD_ROWS_SHOWN = 20
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

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
            metavar="FILE", help="Where to keep it. Default: $XDG_CACHE_HOME or ~/.cache, kis-bond/bond_code.mst."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Load the bond master and keep it, in the place of the one before. Where that fails, the one before stays."""
    path = to or _kept_at()
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
        typer.echo(json.dumps(report, ensure_ascii=False))
        return
    typer.echo(
        f"{len(master.bonds):,} bonds, {matured:,} of them matured, from {master.lines:,} lines. Kept at {path}."
    )
    for row in master.bad_rows[:_BAD_ROWS_SHOWN]:
        typer.echo(f"{row} (left out)", err=True)
    if len(master.bad_rows) > _BAD_ROWS_SHOWN:
        typer.echo(f"{len(master.bad_rows):,} lines were left out in all; --json lists them.", err=True)


@app.command(
    epilog="Examples: kis-bond bonds search 국고03250 | kis-bond bonds search KR1035 --limit 200 --json | "
    "kis-bond bonds search 통안 --from bond_code.mst"
)
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Part of a name or of an ISIN.")],
    *,
    source: Annotated[
        str | None,
        typer.Option("--from", "--file", metavar="FILE|URL", help="Look in this file. Default: the one update kept."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show so many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the bonds whose name or ISIN holds a text, matured ones last."""
    found = master.search(_bonds_of(source), text, today())
    shown = found[:limit]
    if as_json:
        typer.echo(
            json.dumps({"bonds": [_as_json(bond, today()) for bond in shown], "found": len(found)}, ensure_ascii=False)
        )
        return
    if shown:
        print_table(("isin", "name", "type", "class", "issued", "redeemed"), (_as_row(bond, today()) for bond in shown))
    if not shown:
        typer.echo(f"No bond's name or ISIN holds {text}.", err=True)
    elif len(found) > limit:
        typer.echo(f"{limit:,} of {len(found):,} are shown: give a longer text, or a higher --limit.", err=True)


def known_bonds() -> Mapping[str, Bond]:
    """Return the bonds of the master kept, by ISIN; none where none was ever loaded, or, said on stderr, it cannot be read."""
    path = cache.default_path()
    if path is None:
        return {}
    try:
        return _load(str(path))[1].bonds
    except cache.NotThere:
        return {}
    except RequestMalformed as problem:
        typer.echo(f"Bond names are not known: {problem} Load it again with kis-bond bonds update.", err=True)
        return {}


def today() -> date:
    """Return the date in Seoul, by which bonds mature."""
    return datetime.now(ZoneInfo("Asia/Seoul")).date()


def _kept_at() -> Path:
    path = cache.default_path()
    if path is None:
        raise RequestMalformed(
            "This user has no home folder to keep the bond master in. Give a place with --to, or set XDG_CACHE_HOME."
        )
    return path


def _bonds_of(source: str | None) -> Mapping[str, Bond]:
    if source is not None:
        return _load(source)[1].bonds
    path = _kept_at()
    try:
        return _load(str(path))[1].bonds
    except cache.NotThere:
        raise RequestMalformed(f"There is no bond master at {path} yet. Load it with kis-bond bonds update.") from None


def _load(source: str) -> tuple[bytes, Master]:
    """Return the lines of a bond master, and what they say. Raises RequestMalformed and NotInTime."""
    if _URL.match(source) is None:
        return _read(cache.read(Path(source)), source)
    # The HTTP library is imported where it is needed, so that `--help` is quick.
    from connector.shell.bonds import download

    return _read(asyncio.run(download.download(source)), download.without_secrets(source))


def _read(raw: bytes, name: str) -> tuple[bytes, Master]:
    """Refuse a file without a single bond: it is another file, or has another layout."""
    lines = master.unpack(raw, name)
    found = master.read(lines)
    if not found.bonds:
        raise RequestMalformed(f"{name} holds no bond ({found.bad_rows[0] if found.bad_rows else 'it is empty'}).")
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
