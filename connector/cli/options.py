"""The options commands have in common, and the settings they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connector import settings as configuration
from connector.shell.kis.credentials import app_key_problems

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="YAML file with settings. Default: the one KIS_BOND_CONFIG names, if any.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load_settings(context: typer.Context, config: Path | None) -> configuration.Settings:
    """Return the settings of the file named at the command, else before it. Raises ConfigurationError."""
    return configuration.load(config or context.find_root().params.get("config"))


def load_settings_of_connector(context: typer.Context, config: Path | None) -> configuration.Settings:
    """Return the settings as `load_settings` does; mistakes are reported with those of the app keys."""
    return configuration.load(config or context.find_root().params.get("config"), None, app_key_problems)
