"""The options that commands share, and the settings they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connector import settings as configuration
from connector.errors import ConfigurationError
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
    """Return the settings of the --config given after the command, else of the one before it.

    Raises ConfigurationError.
    """
    return configuration.load(config or context.find_root().params.get("config"))


def load_settings_of_connector(context: typer.Context, config: Path | None) -> configuration.Settings:
    """Return the settings as `load_settings` does, if the files they name can be used.

    The mistakes include those of the app keys. Problems of the app keys alone are left to the
    caller.
    """
    # Imported only here, so that `--help` need not load what reads certificates.
    from connector.shell.kafka.credential_files import file_problems

    settings = configuration.load(
        config or context.find_root().params.get("config"),
        None,
        lambda settings: [*file_problems(settings.kafka), *app_key_problems(settings)],
    )
    if problems := file_problems(settings.kafka):
        raise ConfigurationError([*problems, *app_key_problems(settings)])
    return settings
