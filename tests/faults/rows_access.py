"""Rows F: KIS behind an HTTP proxy, and a Kafka that asks for tickets."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib.util import find_spec
from typing import Any

from tests.faults.rig import Rig, Run
from tests.faults.row import Check, at_least, at_most, equal, row, shown
from tests.faults.rows_feed import handshake_refused, no_knocking, session_ended
from tests.http_proxy import HttpProxy, why_no_proxy
from tests.kafka.jars import Unavailable
from tests.kafka.realm import CLIENT, HOST, SERVICE, KerberosKafka, Realm

# The Kerberos library gets a new ticket once an old one has less than half a minute to live.
TICKET_SECONDS, SESSION_SECONDS, AWAY_SECONDS = 40, 4, 45


class BehindProxy(Rig):
    """A rig whose connectors reach KIS through a proxy."""

    def __init__(self, rig: Rig, proxy: HttpProxy) -> None:
        super().__init__(rig.cluster, rig.seed, full=rig.full)
        self.ledgers = rig.ledgers
        self._proxy = proxy

    def run(self, *, settings: Mapping[str, str] | None = None, **more: Any) -> AbstractAsyncContextManager[Run]:
        """Begin a run, as `Rig.run` does."""
        return super().run(settings=self._proxy.settings | dict(settings or {}), **more)


async def _through(proxy: HttpProxy, checks: list[Check], tunnels: int) -> list[Check]:
    return [
        *checks,
        at_least("connections through the proxy", proxy.requests("CONNECT"), tunnels),
        at_least("approval calls through the proxy", proxy.requests("POST"), 1),
    ]


@row(
    "F1",
    fault="KIS behind an HTTP proxy with a login: the session ended as in B1",
    expected="as B1",
    why_not=why_no_proxy,
)
async def session_ended_behind_proxy(rig: Rig) -> list[Check]:
    """What the exchange sent before the end comes through the proxy, too."""
    with HttpProxy() as proxy:
        return await _through(proxy, await session_ended(BehindProxy(rig, proxy)), 7)


@row(
    "F2",
    fault="KIS behind an HTTP proxy with a login: closed at once, then in use, as in B2",
    expected="as B2: the proxy hides no refusal",
    why_not=why_no_proxy,
)
async def no_knocking_behind_proxy(rig: Rig) -> list[Check]:
    """The back-off is the same."""
    with HttpProxy() as proxy:
        return await _through(proxy, await no_knocking(BehindProxy(rig, proxy)), 3)


@row(
    "F3",
    fault="KIS behind an HTTP proxy with a login: the handshake refused as in B7",
    expected="as B7",
    why_not=why_no_proxy,
)
async def handshake_refused_behind_proxy(rig: Rig) -> list[Check]:
    """No redirect is followed through the proxy either."""
    with HttpProxy() as proxy:
        return await _through(proxy, await handshake_refused(BehindProxy(rig, proxy)), 5)


@row(
    "F4",
    fault="the HTTP proxy restarted: killed and away for 8 s, then stopped and away for 3 s",
    expected="L = R = 0; the session is back by itself; what the proxy took along is told by the auditor",
    why_not=why_no_proxy,
)
async def proxy_restarted(rig: Rig) -> list[Check]:
    """A proxy that is away is like a KIS that is away."""
    with HttpProxy() as proxy:
        async with BehindProxy(rig, proxy).run() as run:
            for end, seconds in ((proxy.server.kill, 8), (proxy.server.stop, 3)):
                await run.passed(2)
                connects = len(run.kis.connects)
                await rig.off_loop(end)
                await run.connector.until_state("DISCONNECTED", run.isins, 30)
                await run.passed(seconds)
                _, status = await run.connector.ask("/status")
                await rig.off_loop(proxy.start)
                await run.until(partial(_connected_again, run, connects), 60)
                await run.connector.until_state("ACTIVE", run.isins, 60)
        return [
            *run.checks(missed=None, connects=3),
            shown("said meanwhile", str(status["slots"]["0"]["message"])),
            *await run.audit_checks("closed", "reset", "handshake"),
        ]


def _connected_again(run: Run, than: int) -> bool:
    return len(run.kis.connects) > than


def why_no_realm() -> str | None:
    """Return why no Kerberos can be tried here, or None."""
    if find_spec("gssapi") is None:
        return "it needs the package gssapi, which is not installed: make access-test"
    try:
        with Realm(TICKET_SECONDS):
            return None
    except Unavailable as reason:
        return str(reason)


class TicketKafka:
    """A broker that asks for tickets, as a rig uses a cluster."""

    def __init__(self, broker: KerberosKafka) -> None:
        self.bootstrap_servers = broker.guarded
        self.direct_servers = broker.bootstrap_servers
        self.brokers = broker.brokers

    async def heal(self) -> None:
        """Do nothing: the broker is never ended."""


@row(
    "F5",
    fault=f"Kafka with Kerberos: tickets of {TICKET_SECONDS} s, connections ended every {SESSION_SECONDS} s, "
    f"the KDC away for {AWAY_SECONDS} s",
    expected="L = R = M = 0; new tickets from the keytab; waits while the KDC is away",
    why_not=why_no_realm,
)
async def tickets_end(rig: Rig) -> list[Check]:
    """The keytab gets new tickets, and an absent KDC delays records without losing any."""
    async with _ticket_run(rig) as (run, realm):
        began_at = time.monotonic()
        await run.until(lambda: realm.issued() >= 3, 90)
        seconds_before, issued = int(time.monotonic() - began_at), realm.issued()
        await rig.off_loop(realm.kdc.kill)
        started_at, waited_for = time.monotonic(), set()
        while time.monotonic() < started_at + AWAY_SECONDS:
            await run.passed(0.5)
            _, status = await run.connector.ask("/status")
            waited_for.add(str(status["delivery"]["waiting_for"]))
        await rig.off_loop(realm.start)
        run.watch.healed()
        await run.until(lambda: realm.issued() > issued, 60)
    return [
        *run.checks(),
        at_least("tickets issued", issued, 3),
        at_most("tickets asked for while they lived", issued, 1 + seconds_before // 5),
        shown("waited for meanwhile", "; ".join(sorted(waited_for))),
    ]


@row(
    "F6",
    fault="Kafka with Kerberos: our keys replaced and our keytab exchanged; then the broker's keys and its keytab, "
    "which loses the old ones",
    expected="L = R = M = 0; the next ticket comes from the new keytab; a refused ticket is replaced at once, U ≤ 10 s",
    why_not=why_no_realm,
)
async def keys_replaced(rig: Rig) -> list[Check]:
    """Neither waits for the end of an old ticket."""
    async with _ticket_run(rig) as (run, realm):
        await run.passed(3)
        await rig.off_loop(partial(realm.replace_keys, CLIENT, realm.client))
        issued = realm.issued()
        await run.until(lambda: realm.issued() > issued, TICKET_SECONDS)
        await rig.off_loop(partial(realm.replace_keys, f"{SERVICE}/{HOST}", realm.service))
        await run.passed(4 * SESSION_SECONDS)
        log = run.connector.log.read_text()
    return [
        *run.checks(),
        equal("first tickets refused", realm.refused(), 0),
        at_least("lines that tell of a refused ticket", log.count("refused the Kerberos login"), 1),
        at_most("U, s", run.ledger.longest_gap_seconds, 10),
    ]


@contextlib.asynccontextmanager
async def _ticket_run(rig: Rig) -> AsyncIterator[tuple[Run, Realm]]:
    """Begin a run with a broker that takes a realm's tickets."""
    with Realm(TICKET_SECONDS) as realm:
        broker = await asyncio.to_thread(KerberosKafka, realm=realm, session_seconds=SESSION_SECONDS)
        settings = {
            "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA__SASL_MECHANISM": "GSSAPI",
            "KAFKA__GSSAPI_PRINCIPAL": realm.principal,
            "KAFKA__GSSAPI_KEYTAB_FILE": str(realm.client),
        }
        try:
            await asyncio.to_thread(broker.start)
            cluster: Any = TicketKafka(broker)
            async with rig.on(cluster).run(
                settings=settings, prepare=lambda run: run.connector.environment.update(realm.environment)
            ) as run:
                yield run, realm
        finally:
            await asyncio.to_thread(broker.close)
