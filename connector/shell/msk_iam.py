"""Gets an access token for Amazon MSK: a request signed with the credentials of an AWS role.

AWS' own signer makes the token; it is in the extra `msk`. It finds credentials as every AWS program
does: environment, web identity of a Kubernetes service account, or the machine's role.
Source: aws/aws-msk-iam-sasl-signer-python.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import time
from concurrent.futures import Future
from typing import Final, TypeAlias

from connector.core.oauth import BearerToken, token_of_life
from connector.core.printable import printable
from connector.logs import peer_text
from connector.shell.access_token import NoAccessToken
from connector.shell.worker import Worker

TIMEOUT_SECONDS: Final = 10.0  # the credentials may come from a web service
LEAST_LIFE_SECONDS: Final = 60.0  # of a token that came too late for the call before
# b-1.bonds.abc123.c2.kafka.ap-northeast-2.amazonaws.com, or kafka-serverless
_BROKER: Final = re.compile(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?:")

# botocore may wait minutes for the credentials. The loop's own threads must stay free, because they
# look up KIS's address, and a stop waits for them.
_worker: Final = functools.cache(Worker)
# A failure is a result too: asyncio would log an error that nobody waited for.
Signing: TypeAlias = Future[tuple[str, int] | Exception]


class MskIam:
    """Signs tokens for the region that the brokers' names hold, or else the one of `AWS_REGION`."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._signing: Signing | None = None

    async def ask(self, now: float) -> BearerToken:
        """Return a new token; its times count from `now`. Raises NoAccessToken."""
        region = self._region()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                text, ends_at_ms = await self._signed(region)
        except TimeoutError:
            raise NoAccessToken(f"MSK_TIMEOUT: AWS credentials did not come in {TIMEOUT_SECONDS:g} s") from None
        except Exception as error:  # noqa: BLE001 - botocore's errors have no common base
            said = printable(peer_text(f"{type(error).__name__}: {error}"))
            raise NoAccessToken(f"MSK_CREDENTIALS: no token could be signed: {said}") from None
        return token_of_life(text, ends_at_ms / 1000 - time.time(), now)

    async def _signed(self, region: str) -> tuple[str, int]:
        """Return a signed token and its end. A signing that an earlier call began is used first."""
        if self._signing is None or _is_useless(self._signing):
            # librdkafka's clients ask in a new loop each time, so it belongs to none.
            self._signing = Future()
            self._signing.set_running_or_notify_cancel()  # whoever stops waiting does not end it
            _worker("msk-iam").run(_sign_for, self._signing, region)
        signing = self._signing
        try:
            signed = await asyncio.wrap_future(signing)
        finally:
            if signing.done() and self._signing is signing:
                self._signing = None
        if isinstance(signed, Exception):
            raise signed
        return signed

    def _region(self) -> str:
        named = _BROKER.search(self._bootstrap_servers)
        region = named[1] if named else os.environ.get("AWS_REGION")
        if not region:
            raise NoAccessToken(
                "MSK_REGION: no name in kafka.bootstrap_servers holds an AWS region: set AWS_REGION in the environment"
            )
        return region


def _is_useless(signing: Signing) -> bool:
    """Return whether a signing has failed, or its token has ended or soon will."""
    if not signing.done():
        return False
    signed = signing.result()
    return isinstance(signed, Exception) or signed[1] / 1000 < time.time() + LEAST_LIFE_SECONDS


def _sign_for(signing: Signing, region: str) -> None:
    try:
        signing.set_result(_sign(region))
    except Exception as error:  # noqa: BLE001 - whoever waits gets it; perhaps nobody does
        signing.set_result(error)


def _sign(region: str) -> tuple[str, int]:
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 - only in the extra `msk`

    text, ends_at_ms = MSKAuthTokenProvider.generate_auth_token(region)
    return str(text), int(ends_at_ms)
