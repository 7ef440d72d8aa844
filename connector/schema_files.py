"""Finds the published schema files: in the wheel beside this module, in a checkout beside the package."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def schema_text(name: str) -> str:
    """Return the text of `schemas/<name>`. Raises FileNotFoundError where the installation is incomplete."""
    in_wheel = _PACKAGE / "schemas" / name
    path = in_wheel if in_wheel.exists() else _PACKAGE.parent / "schemas" / name
    return path.read_text(encoding="utf-8")


def bond_tick() -> str:
    """Return the Avro schema of one tick, `schemas/bond_tick.avsc`."""
    return schema_text("bond_tick.avsc")
