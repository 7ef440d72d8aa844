"""Gets an access token for Amazon MSK: a request signed with the credentials of an AWS role.

AWS' own signer makes the token; it is in the extra `msk`. It finds credentials as every AWS program
does: environment, web identity of a Kubernetes service account, or the machine's role.
Source: aws/aws-msk-iam-sasl-signer-python.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from typing import Final

from connector.core.oauth import BearerToken, token_of_life
from connector.core.printable import printable
from connector.logs import peer_text
from connector.shell.access_token import NoAccessToken

TIMEOUT_SECONDS: Final = 10.0  # the credentials may come from a web service
# b-1.bonds.abc123.c2.kafka.ap-northeast-2.amazonaws.com, or kafka-serverless
_BROKER: Final = re.compile(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?:")


class MskIam:
    """Signs tokens for the region that the brokers' names hold, or else the one of `AWS_REGION`."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers

    async def ask(self, now: float) -> BearerToken:
        """Return a new token; its times count from `now`. Raises NoAccessToken."""
        region = self._region()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                text, ends_at_ms = await asyncio.to_thread(_sign, region)
        except TimeoutError:
            raise NoAccessToken(f"MSK_TIMEOUT: AWS credentials did not come in {TIMEOUT_SECONDS:g} s") from None
        except Exception as error:  # noqa: BLE001 - botocore's errors have no common base
            said = printable(peer_text(f"{type(error).__name__}: {error}"))
            raise NoAccessToken(f"MSK_CREDENTIALS: no token could be signed: {said}") from None
        return token_of_life(text, ends_at_ms / 1000 - time.time(), now)

    def _region(self) -> str:
        named = _BROKER.search(self._bootstrap_servers)
        region = named[1] if named else os.environ.get("AWS_REGION")
        if not region:
            raise NoAccessToken(
                "MSK_REGION: no name in kafka.bootstrap_servers holds an AWS region: set AWS_REGION in the environment"
            )
        return region


def _sign(region: str) -> tuple[str, int]:
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 - only in the extra `msk`

    text, ends_at_ms = MSKAuthTokenProvider.generate_auth_token(region)
    return str(text), int(ends_at_ms)
