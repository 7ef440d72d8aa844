"""`kis-bond run`: run the connector."""

from __future__ import annotations

import asyncio
import gc

import structlog
import typer

from connector import __version__, app, logs
from connector.cli.memory_protection import forbid_dumps
from connector.cli.options import Config, load_settings_of_connector
from connector.shell.kis.credentials import Credentials

EXAMPLES = """Examples:

  kis-bond run --config kis-bond.yaml

  KIS_BOND_KIS__APPKEY=... KIS_BOND_KIS__APPSECRET=... kis-bond run
"""

# The tick path makes no reference cycles. Collecting less often saves the collector from walking
# over all the frames that wait. A collection of the middle generation walks over what the last
# 250,000 allocations left, which holds up the event loop for some ten milliseconds.
COLLECT_AFTER = (50_000, 5, 400)


def run(context: typer.Context, *, config: Config = None) -> None:
    """Register the wanted bonds at KIS and publish each of their ticks.

    SIGTERM ends it with 0, or with 6 if frames are still undelivered. Wrong settings end it with
    2, an unusable journal with 4. It ends with 3 if KIS refused every app key.
    """
    settings = load_settings_of_connector(context, config)
    handler = logs.configure(settings.log)
    log = structlog.get_logger("connector.run")
    log.info(
        "starting",
        version=__version__,
        brokers=settings.kafka.bootstrap_servers,
        app_keys=Credentials(settings.kis).count(),
        page=f"{settings.http.url()}/",
    )
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
