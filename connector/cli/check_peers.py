"""Tries every peer the connector needs, without disturbing a running connector."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from yarl import URL

from connector.app.audit.build import rest_client
from connector.cli import subject, topics
from connector.cli.check_result import CheckResult
from connector.core.kis.approval import Granted, Refused, Unavailable
from connector.errors import ConfigurationError, CredentialsRefused, JournalUnusable, NotInTime
from connector.packaged_files import bond_tick
from connector.shell import registry
from connector.shell.journal.folder import Folder
from connector.shell.journal.place import place as find_place
from connector.shell.journal.recovery import look
from connector.shell.kafka.diagnosis import address
from connector.shell.kis.approval import TOO_FAST, ApprovalService
from connector.shell.proxy import Proxy
from connector.shell.tcp import open_tcp
from connector.shell.unreachable import explain_unreachable

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from connector.settings import KisSettings, Settings
    from connector.shell.kis.credentials import Credentials

TCP_SECONDS = 5.0


async def check_all(settings: Settings, credentials: Credentials) -> list[CheckResult]:
    """Try the journal, Kafka, the registry and KIS.

    A KIS session is never opened: it could displace the live one.
    """
    results = [_journal(settings.journal.path), *await _kafka(settings), *await _registry(settings)]
    service = ApprovalService(settings.kis.approval_url, proxy=Proxy.of(settings.kis))
    approvals = [await _approval(service, credentials, slot) for slot in range(credentials.count())]
    return [*results, *approvals, await _websocket_port(settings.kis), *await _audit(settings)]


def _journal(path: Path) -> CheckResult:
    """Check the journal without its lock: a running connector may hold it."""
    try:
        place = find_place(path, is_trial=True)
        if place.folder.exists():
            folder = Folder(place.folder, create=False)
            try:
                look(folder)
            finally:
                folder.close()
    except (JournalUnusable, OSError) as error:
        return CheckResult("journal", str(error), JournalUnusable)
    nearest = next(each for each in (place.folder.absolute(), *place.folder.absolute().parents) if each.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        return CheckResult(
            "journal", f"{path} is not writable: set journal.path to a place this user may write", JournalUnusable
        )
    return CheckResult("journal", f"{path} {'is writable' if place.folder.exists() else 'can be created'}")


async def _kafka(settings: Settings) -> list[CheckResult]:
    try:
        differences = await topics.find_differences(settings)
    except (NotInTime, ConfigurationError) as error:
        return [CheckResult("Kafka", str(error), NotInTime)]
    results = [CheckResult("Kafka", f"{settings.kafka.bootstrap_servers} answered")]
    return results + [
        CheckResult("topics", f"{each.topic} {each.message}", NotInTime if each.is_drift else None)
        for each in differences
    ]


async def _registry(settings: Settings) -> list[CheckResult]:
    if settings.registry.url is None:
        return []
    name = f"{settings.topics.ticks}-value"
    looking_only = settings.registry.model_copy(update={"auto_register": False})
    try:
        schema_id = await registry.schema_id(looking_only, name, bond_tick(), _nothing_saved, _save_nothing)
    except NotInTime as error:
        return [CheckResult("registry", str(error), NotInTime)]
    results = [CheckResult("registry", f"{name} holds this schema under id {schema_id}")]
    try:
        found = await subject.look(settings)
    except NotInTime as error:
        return [*results, CheckResult("registry", str(error), NotInTime)]
    results += [CheckResult("registry", f"{name} {problem}", NotInTime) for problem in found.incompatible]
    return results + [CheckResult("registry", f"{name}: {warning}") for warning in found.warnings]


async def _nothing_saved(_: str) -> None:
    return None


async def _save_nothing(name: str, value: str) -> None:
    """Leave the journal alone, where the connector saves the id."""


async def _approval(service: ApprovalService, credentials: Credentials, slot: int) -> CheckResult:
    part = f"app key {slot}"
    answer = await service.request(credentials.read(slot))
    if isinstance(answer, Unavailable) and answer.code == TOO_FAST:
        # A running connector may have asked within the same second, and KIS gives one key a second.
        # The service waits that second before the second request.
        answer = await service.request(credentials.read(slot))
    match answer:
        case Granted():
            return CheckResult(part, "KIS gave an approval key")
        case Refused(code, message):
            return CheckResult(part, f"KIS refused it: {code} {message}", CredentialsRefused)
        case unavailable:
            return CheckResult(
                part,
                f"KIS gave no approval key: {unavailable.code or ''} {unavailable.message}".replace("  ", " "),
                NotInTime,
            )


async def _audit(settings: Settings) -> list[CheckResult]:
    """Get an access token as the auditor does, if it has app keys of its own.

    KIS tells the customer of each new token, so the auditor's token is used while it lasts, and a
    new one is kept for the auditor.
    """
    try:
        client = rest_client(settings)
    except ConfigurationError as error:
        return [CheckResult("auditor", problem, NotInTime) for problem in error.problems]
    if client is None:
        return []
    failed = await client.sign_in()
    if failed is None:
        return [CheckResult("auditor", f"there is an access token for KIS's REST service at {settings.audit.rest_url}")]
    return [CheckResult("auditor", f"no access token: {failed.message}", NotInTime)]


async def _websocket_port(kis: KisSettings) -> CheckResult:
    url, proxy = URL(kis.websocket_url), Proxy.of(kis)
    host, port = str(url.host), url.port or 443
    try:
        (await _open_in_time(host, port, proxy)).close()
    except OSError as error:
        cause = await explain_unreachable(
            error,
            url,
            address_setting="kis.websocket_url",
            authority_setting="this machine's list of authorities",
        )
        return CheckResult("WebSocket port", cause, NotInTime)
    return CheckResult("WebSocket port", f"{address(host, port)} accepted a TCP connection; no session was opened")


async def _open_in_time(host: str, port: int, proxy: Proxy | None) -> socket.socket:
    try:
        async with asyncio.timeout(TCP_SECONDS):
            return await (proxy.open_tunnel if proxy else open_tcp)(host, port)
    except TimeoutError:
        raise TimeoutError(f"there was no answer within {TCP_SECONDS:g} s") from None
