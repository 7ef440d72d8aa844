"""`kis-bond audit`: run the auditor."""

from __future__ import annotations

import asyncio

import structlog
import typer  # noqa: TC002 - typer reads annotations at run time

from connector import logs
from connector.cli.memory_protection import forbid_dumps
from connector.cli.options import Config, load_settings_of_auditor

EXAMPLES = """Examples:

  kis-bond audit --config kis-bond.yaml

  KIS_BOND_AUDIT__CREDENTIALS_DIR=/etc/kis-bond/app-keys kis-bond audit
"""


def audit(context: typer.Context, *, config: Config = None) -> None:
    """Audit the tick topic: say for each bond what of its day volume is missing, and why.

    Several auditors share the work. Each writes bond.coverage and the events gap and backfill.
    SIGTERM ends it with 0. Wrong settings end it with 2.
    """
    settings = load_settings_of_auditor(context, config)
    handler = logs.configure(settings.log)
    log = structlog.get_logger("connector.audit")
    for warning in settings.warnings():
        log.warning("setting_unwise", warning=warning)
    forbid_dumps()
    # Imported only here, so that `--help` need not load the Kafka client.
    from connector.app import audit as auditor

    try:
        asyncio.run(auditor.run(settings, lambda port: log.info("http_listening", host=settings.http.host, port=port)))
    finally:
        handler.close()
