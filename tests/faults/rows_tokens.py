"""Rows F11 to F14: Kafka with the tokens of a real OpenID provider."""

import contextlib
import functools
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tests.faults.rig import Rig, Run
from tests.faults.row import Check, at_least, at_most, row, true
from tests.faults.token_cluster import TokenKafka
from tests.kafka.keycloak import Keycloak, why_no_keycloak
from tests.security.certificates import Authority

LIFE_SECONDS = 10


@functools.cache
def _authority() -> Authority:
    return Authority(Path(tempfile.mkdtemp(prefix="kis-bond-authority-")))


@functools.cache
def _provider() -> Keycloak:
    """Return the provider of this process; it ends with the process."""
    return Keycloak.launch(_authority().issue("provider"), LIFE_SECONDS)


@contextlib.asynccontextmanager
async def _token_run(rig: Rig, client: str = "kis-bond") -> AsyncIterator[tuple[Run, TokenKafka]]:
    """Begin a run with a broker that takes the provider's tokens, as one of its clients."""
    provider, authority = await rig.off_loop(_provider), _authority()
    cluster = await rig.off_loop(
        lambda: TokenKafka(
            seed=rig.seed,
            provider=provider,
            certificate=authority.issue("broker"),
            ca=authority.ca,
            life_seconds=LIFE_SECONDS,
            client=client,
        )
    )
    try:
        await cluster.open()
        async with rig.on(cluster).run(prepare=cluster.introduce) as run:
            yield run, cluster
    finally:
        await cluster.shut()


@row(
    "F11",
    fault=f"Kafka with tokens of {LIFE_SECONDS} s: the broker ends each connection with its token, for 50 s",
    expected="L = R = M = 0; a new token each time",
    why_not=why_no_keycloak,
)
async def tokens_end(rig: Rig) -> list[Check]:
    """The next login asks for the next token."""
    async with _token_run(rig) as (run, cluster):
        (proxy,) = cluster.proxies
        before = proxy.connections
        await run.passed(5 * LIFE_SECONDS)
        made = proxy.connections - before
    return [*run.checks(), at_least("further connections", made, 4)]


@row(
    "F12",
    fault=f"Kafka with tokens of {10 * LIFE_SECONDS} s: the provider signs with a new key and forgets the old one, "
    "then every connection is cut",
    expected="L = R = M = 0; the refused token is replaced at once, T ≤ 5 s",
    why_not=why_no_keycloak,
)
async def key_rotated(rig: Rig) -> list[Check]:
    """The broker refuses tokens of the old key, so that they are not used to their end."""
    async with _token_run(rig, "long-lived") as (run, cluster):
        await run.passed(LIFE_SECONDS)  # a refused token that is newer is kept
        await rig.off_loop(cluster.provider.rotate)
        await run.passed(2)  # the broker looks for keys every second
        await cluster.proxies[0].cut()
        run.watch.healed()
        await run.passed(2 * LIFE_SECONDS)
        refused = run.connector.log.read_text().count("refused our access token")
    return [
        *run.checks(),
        at_least("lines that tell of a refused token", refused, 1),
        at_most("T, s", run.ledger.watched.catch_up_seconds, 5),
    ]


@row(
    "F13",
    fault="Kafka with tokens: the provider killed, and away for 5 minutes (60 s in the quick run)",
    expected="L = R = M = 0; ticks wait in the journal, and it is said for what",
    why_not=why_no_keycloak,
)
async def provider_away(rig: Rig) -> list[Check]:
    """Connections end with their tokens, and no new one can be made until the provider is back."""
    return await _away(rig, 300 if rig.full else 60, Keycloak.kill)


@row(
    "F14",
    fault="Kafka with tokens: the provider frozen for 30 s, its sockets open",
    expected="L = R = M = 0; a request for a token is given up in time",
    why_not=why_no_keycloak,
)
async def provider_frozen(rig: Rig) -> list[Check]:
    """Requests for a token are not answered."""
    return await _away(rig, 3 * LIFE_SECONDS, Keycloak.freeze)


async def _away(rig: Rig, seconds: float, go: Callable[[Keycloak], None]) -> list[Check]:
    async with _token_run(rig) as (run, cluster):
        await run.passed(3)
        await rig.off_loop(lambda: go(cluster.provider))
        try:
            await run.passed(seconds)
            _, status = await run.connector.ask("/status")
        finally:
            await rig.off_loop(cluster.provider.start)
        run.watch.healed()
    delivery = status["delivery"]
    return [
        *run.checks(),
        at_least("frames pending meanwhile", status["frames"]["pending"], 1),
        true("said in /status", "OAUTH_" in str(delivery)),
    ]
