"""Tries every peer the connector will need, one after the other, without disturbing a connector that runs."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from connector.cli import topics
from connector.cli.finding import Finding
from connector.core.kis.approval import Granted, Refused, Unavailable
from connector.errors import ConfigurationError, CredentialsRefused, JournalUnusable, NotInTime
from connector.packaged_files import bond_tick
from connector.shell import registry
from connector.shell.journal.file import SCHEMA_VERSION
from connector.shell.kis.approval import TOO_FAST, ApprovalService

if TYPE_CHECKING:
    from pathlib import Path

    from connector.settings import Settings
    from connector.shell.kis.credentials import Credentials

TCP_SECONDS = 5.0
# SQLite's file format, 1.3: user_version stands at byte 60 of the header, most significant byte first.
_USER_VERSION = slice(60, 64)


async def find_all(settings: Settings, credentials: Credentials) -> list[Finding]:
    """Try the journal, Kafka, the registry and KIS. Never a KIS session: it could throw out the live one."""
    findings = [_journal(settings.journal.path), *await _kafka(settings), *await _registry(settings)]
    service = ApprovalService(settings.kis.approval_url)
    approvals = [await _approval(service, credentials, slot) for slot in range(credentials.count())]
    return [*findings, *approvals, await _websocket_port(settings.kis.websocket_url)]


def _journal(path: Path) -> Finding:
    """Look at the journal without opening it: a running connector may hold it."""
    folder = next(each for each in path.absolute().parents if each.exists())
    if not os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.R_OK | os.W_OK)):
        return Finding(
            "journal", f"{path} is not writable: set journal.path to a place this user may write", JournalUnusable
        )
    if not path.exists():
        return Finding("journal", f"{path} can be made")
    try:
        with path.open("rb") as file:
            version = int.from_bytes(file.read(_USER_VERSION.stop)[_USER_VERSION], "big")
    except OSError as error:
        return Finding("journal", f"{path} could not be read ({error.strerror})", JournalUnusable)
    if version > SCHEMA_VERSION:
        return Finding(
            "journal",
            f"{path} was written by a newer version: run that one, or set journal.path to a new file",
            JournalUnusable,
        )
    return Finding("journal", f"{path} is writable")


async def _kafka(settings: Settings) -> list[Finding]:
    try:
        differences = await topics.look(settings)
    except (NotInTime, ConfigurationError) as error:
        return [Finding("Kafka", str(error), NotInTime)]
    findings = [Finding("Kafka", f"{settings.kafka.bootstrap_servers} answered")]
    return findings + [
        Finding("topics", f"{each.topic} {each.message}", NotInTime if each.is_drift else None) for each in differences
    ]


async def _registry(settings: Settings) -> list[Finding]:
    if settings.registry.url is None:
        return []
    subject = f"{settings.topics.ticks}-value"
    looking_only = settings.registry.model_copy(update={"auto_register": False})
    try:
        schema_id = await registry.schema_id(looking_only, subject, bond_tick(), _nothing_kept, _keep_nothing)
    except NotInTime as error:
        return [Finding("registry", str(error), NotInTime)]
    return [Finding("registry", f"{subject} holds this schema under id {schema_id}")]


async def _nothing_kept(_: str) -> None:
    return None


async def _keep_nothing(name: str, value: str) -> None:
    """Leave the journal, where the connector keeps the id, alone."""


async def _approval(service: ApprovalService, credentials: Credentials, slot: int) -> Finding:
    part = f"app key {slot}"
    answer = await service.request(credentials.read(slot))
    if isinstance(answer, Unavailable) and answer.code == TOO_FAST:
        # A running connector may have asked within the same second; the service waits that second before it asks once more.
        answer = await service.request(credentials.read(slot))
    match answer:
        case Granted():
            return Finding(part, "KIS gave an approval key")
        case Refused(code, message):
            return Finding(part, f"KIS refused it: {code} {message}", CredentialsRefused)
        case unavailable:
            return Finding(
                part,
                f"KIS gave no approval key: {unavailable.code or ''} {unavailable.message}".replace("  ", " "),
                NotInTime,
            )


async def _websocket_port(url: str) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        async with asyncio.timeout(TCP_SECONDS):
            _, writer = await asyncio.open_connection(host, port, happy_eyeballs_delay=0.25)
            writer.close()
            await writer.wait_closed()
    except TimeoutError:
        return Finding("WebSocket port", f"{host}:{port} did not answer in {TCP_SECONDS:g} s", NotInTime)
    except OSError as error:
        return Finding("WebSocket port", f"{host}:{port} was out of reach: {error.strerror or error}", NotInTime)
    return Finding("WebSocket port", f"{host}:{port} took a TCP connection; no session was opened")
