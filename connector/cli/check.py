"""`kis-bond check`: print the effective configuration, and try each peer it names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from connector.cli.check_result import CheckResult, failure_of
from connector.cli.options import Config, Json, load_settings_of_connector
from connector.cli.output import print_json, print_lines, say
from connector.core.url_secrets import without_url_secrets
from connector.logs import clean
from connector.shell.kis.credentials import require_credentials

if TYPE_CHECKING:
    from connector.settings import HttpSettings, Settings
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
    """Print the effective configuration with secrets hidden, and warnings on stderr.

    What kis-bond run would refuse at its start ends this command with the same message and code.
    """
    settings = load_settings_of_connector(context, config)
    shown: dict[str, Any] = {
        "settings": _without_url_secrets(settings.redacted()),
        "warnings": [without_url_secrets(warning) for warning in settings.warnings()],
    }
    if not as_json:
        print_lines(yaml.safe_dump(shown["settings"], sort_keys=False, allow_unicode=True).rstrip())
        for warning in shown["warnings"]:
            say(f"warning: {warning}", err=True)
    credentials = require_credentials(settings)
    is_free = _is_port_free(settings.http)
    shown["app_keys"] = credentials.count()
    results = _try_peers(settings, credentials) if connect else []
    if as_json:
        shown["connect"] = [
            {"part": each.part, "ok": each.failure is None, "message": _without_secrets(each.message)}
            for each in results
        ]
        print_json(shown)
    else:
        say(f"# app keys, read and well formed: {credentials.count()}")
        if not is_free:
            say(f"# http.port: {settings.http.port} is in use, as it is beside a running connector")
        for each in results:
            say(f"# {'ok    ' if each.failure is None else 'FAILED'} {each.part}: {_without_secrets(each.message)}")
    if failure := failure_of(results):
        raise failure


def _is_port_free(http: HttpSettings) -> bool:
    """Whether nobody has the port. Raises ConfigurationError if the connector could not have it."""
    # Imported only here, so that `--help` need not load the HTTP server.
    from connector.shell.http import PortInUse, try_to_bind

    try:
        asyncio.run(try_to_bind(http))
    except PortInUse:
        return False
    return True


def _without_secrets(message: str) -> str:
    """Return a result's message without secrets: a peer may have quoted what it was sent."""
    return without_url_secrets(clean(message))


def _without_url_secrets(tree: Any) -> Any:
    match tree:
        case dict():
            return {name: _without_url_secrets(value) for name, value in tree.items()}
        case list():
            return [_without_url_secrets(value) for value in tree]
        case str():
            return without_url_secrets(tree)
        case _:
            return tree


def _try_peers(settings: Settings, credentials: Credentials) -> list[CheckResult]:
    # Imported only here, so that `--help` need not load the clients of Kafka and KIS.
    from connector.cli import check_peers

    return asyncio.run(check_peers.check_all(settings, credentials))
