"""Offers ISINs and names of lists to a shell that completes a command."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import typer  # noqa: TC002 - typer reads annotations at run time

from connector.cli.bonds import known_bonds
from connector.cli.options import load_settings
from connector.cli.output import silence_logs
from connector.core.record_keys import INSTRUMENT, LIST
from connector.errors import ConnectorError

if TYPE_CHECKING:
    from connector.settings import Settings

KAFKA_SECONDS = 2.0  # somebody waits at a prompt
MOST = 200


def isins(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return bonds that begin with a text: those of the saved bond master, else the wanted ones."""
    with contextlib.suppress(ConnectorError):
        if known := known_bonds():
            found = sorted(isin for isin in known if isin.startswith(incomplete.upper()))
            return [(isin, known[isin].name) for isin in found[:MOST]]
    return [(isin, "wanted") for isin in _keys(context, INSTRUMENT) if isin.startswith(incomplete.upper())]


def lists(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the lists that begin with a text, as the status topic has them."""
    return [name for name in _keys(context, LIST) if name.startswith(incomplete)]


def _keys(context: typer.Context, prefix: str) -> list[str]:
    """Return what follows a prefix in the status topic's keys; nothing if it cannot be read."""
    silence_logs()
    try:
        settings = load_settings(context, context.params.get("config"))
        keys = asyncio.run(_read(settings))
    except (ConnectorError, TimeoutError):
        return []
    found = sorted(key.removeprefix(prefix) for key in keys if key.startswith(prefix))
    return [name for name in found if name.isprintable()][:MOST]


async def _read(settings: Settings) -> list[str]:
    # Imported only here, so that completing an option need not load the Kafka client.
    from connector.cli import kafka_access

    async with asyncio.timeout(KAFKA_SECONDS):
        return list(await kafka_access.read(settings, settings.topics.status))
