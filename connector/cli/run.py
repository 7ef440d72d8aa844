"""`kis-bond run`: the connector."""

from __future__ import annotations

import asyncio
import gc

import structlog
import typer

from connector import app, logs
from connector.cli.memory_protection import forbid_dumps
from connector.cli.options import Config, load_settings_of_connector

EXAMPLES = """Examples:

  kis-bond run --config kis-bond.yaml

  KIS_BOND_KIS__APPKEY=... KIS_BOND_KIS__APPSECRET=... kis-bond run
"""

# The tick path makes no cycles; collecting less often spares it walks over the frames that wait.
COLLECT_AFTER = (50_000, 20, 100)


def run(context: typer.Context, *, config: Config = None) -> None:
    """Register the wanted bonds at KIS and publish each of their ticks.

    SIGTERM ends it with 0, or with 6 where frames are still undelivered. It ends with 2 for wrong settings, 3 where KIS refused every
    app key, 4 for an unusable journal.
    """
    settings = load_settings_of_connector(context, config)
    handler = logs.configure(settings.log)
    log = structlog.get_logger("connector.run")
    for warning in settings.warnings():
        log.warning("setting_unwise", warning=warning)
    forbid_dumps()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        code = asyncio.run(
            app.run(settings, lambda port: log.info("http_listening", host=settings.http.host, port=port))
        )
    finally:
        handler.close()
    raise typer.Exit(code)
