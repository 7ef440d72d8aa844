"""Finds the files that ship with the package: the published schemas and the page at `/`."""

from pathlib import Path
from typing import Final

INDEX: Final = "index.html"
SCRIPTS: Final = ("page.js", "coverage.js", "elements.js", "flow.js", "instruments.js", "selection.js", "values.js")
CONTENT_TYPES: Final = {INDEX: "text/html", "page.css": "text/css"} | dict.fromkeys(SCRIPTS, "text/javascript")

_PACKAGE = Path(__file__).parent


def schema_text(name: str) -> str:
    """Return the text of `schemas/<name>`. Raises FileNotFoundError if it was not installed."""
    in_wheel = _PACKAGE / "schemas" / name
    path = in_wheel if in_wheel.exists() else _PACKAGE.parent / "schemas" / name
    return path.read_text(encoding="utf-8")


def bond_tick() -> str:
    """Return the Avro schema of one tick, `schemas/bond_tick.avsc`."""
    return schema_text("bond_tick.avsc")


def released_schemas() -> dict[str, str]:
    """Return the schema of ticks of each released version, oldest first."""
    in_wheel = _PACKAGE / "schemas" / "released"
    folder = in_wheel if in_wheel.exists() else _PACKAGE.parent / "schemas" / "released"
    found = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.avsc")}
    return dict(sorted(found.items(), key=lambda each: [int(part) for part in each[0].split(".")]))


def page_file(name: str) -> str:
    """Return the text of one file of the page. Raises FileNotFoundError if it was not installed."""
    return (_PACKAGE / "page" / name).read_text(encoding="utf-8")
