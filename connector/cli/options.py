"""The options that commands share, and the settings they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connector import settings as configuration
from connector.core.printable import trimmed
from connector.errors import ConfigurationError
from connector.shell.kis.credentials import app_key_problems

MOST_SECONDS = 86_400.0  # of every duration on the command line, as in the settings: no infinity
MOST_TICKS = 1_000_000.0  # a second, far more than the simulator reaches

Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="YAML file with settings. Default: the one KIS_BOND_CONFIG names, if any.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load_settings(context: typer.Context, config: str | None) -> configuration.Settings:
    """Return the settings of the --config given after the command, else of the one before it.

    Raises ConfigurationError.
    """
    return configuration.load(_path(context, config))


def load_settings_of_connector(context: typer.Context, config: str | None) -> configuration.Settings:
    """Return the settings as `load_settings` does, if the files they name can be used.

    The mistakes include those of the app keys. Problems of the app keys alone are left to the
    caller.
    """
    # Imported only here, so that `--help` need not load what reads certificates.
    from connector.shell.kafka.credential_files import file_problems

    return configuration.load(
        _path(context, config), None, lambda settings: file_problems(settings.kafka), app_key_problems
    )


def load_settings_of_auditor(context: typer.Context, config: str | None) -> configuration.Settings:
    """Return the settings as `load_settings` does, if the files of Kafka can be used."""
    # Imported only here, so that `--help` need not load what reads certificates.
    from connector.shell.kafka.credential_files import file_problems

    return configuration.load(_path(context, config), None, lambda settings: file_problems(settings.kafka))


def _path(context: typer.Context, config: str | None) -> Path | None:
    given = context.find_root().params.get("config") if config is None else config
    if given is None:
        return None
    if not trimmed(given):  # a Path of nothing would be this folder
        raise ConfigurationError(["--config: is empty: give the path of the settings file, or leave it out"])
    return Path(given)
