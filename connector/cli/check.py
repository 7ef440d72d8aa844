"""`kis-bond check`: the effective configuration, and whether everything it names can be reached."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from connector.cli.finding import Finding, ending
from connector.cli.options import Config, Json, load_settings_of_connector
from connector.shell.kis.credentials import require_credentials

if TYPE_CHECKING:
    from connector.settings import Settings
    from connector.shell.kis.credentials import Credentials

EXAMPLES = "Examples: kis-bond check --config kis-bond.yaml | kis-bond check --connect --json"


def check(
    context: typer.Context,
    *,
    connect: Annotated[
        bool,
        typer.Option("--connect", help="Also try the journal, Kafka, the registry and KIS, without a KIS session."),
    ] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Print the effective configuration, secrets hidden, with warnings on stderr."""
    settings = load_settings_of_connector(context, config)
    shown: dict[str, Any] = {"settings": settings.redacted(), "warnings": settings.warnings()}
    if not as_json:
        typer.echo(yaml.safe_dump(shown["settings"], sort_keys=False, allow_unicode=True).rstrip())
        for warning in shown["warnings"]:
            typer.echo(f"warning: {warning}", err=True)
    credentials = require_credentials(settings)
    shown["app_keys"] = credentials.count()
    findings = _reach(settings, credentials) if connect else []
    if as_json:
        shown["connect"] = [
            {"part": each.part, "ok": each.failure is None, "message": each.message} for each in findings
        ]
        typer.echo(json.dumps(shown, ensure_ascii=False))
    else:
        typer.echo(f"# app keys, read and well formed: {credentials.count()}")
        for each in findings:
            typer.echo(f"# {'ok    ' if each.failure is None else 'FAILED'} {each.part}: {each.message}")
    if ended := ending(findings):
        raise ended


def _reach(settings: Settings, credentials: Credentials) -> list[Finding]:
    # The clients of the peers are imported only here, so that `--help` is quick.
    from connector.cli import check_peers

    return asyncio.run(check_peers.find_all(settings, credentials))
