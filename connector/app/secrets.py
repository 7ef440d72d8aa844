"""Gives the connector its app keys and approval keys, and checks the files with secrets."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from connector.errors import ConfigurationError
from connector.shell.kis.approval import ApprovalService
from connector.shell.kis.credentials import Credentials
from connector.shell.proxy import Proxy
from connector.shell.registry_login import files_of
from connector.shell.secret_watch import look_at

if TYPE_CHECKING:
    from pathlib import Path

    from connector.core.kis.approval import Answer, AppKey
    from connector.settings import Settings


class Secrets:
    """Reads and requests secrets as the settings say.

    Once this connector knows a secret, its logs hide it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._credentials = Credentials(settings.kis)
        self._hashes: dict[int, str] = {}
        self._approval = ApprovalService(settings.kis.approval_url, proxy=Proxy.of(settings.kis))

    def count_app_keys(self) -> int:
        """Return how many app keys there are."""
        return self._credentials.count()

    def read_app_key(self, slot: int) -> AppKey:
        """Return the slot's app key as its files hold it now. Raises ConfigurationError."""
        return self._credentials.read(slot)

    def hash_app_keys(self) -> tuple[str, ...]:
        """Return a hash of each slot's app key, by which replicas of one group compare them.

        The name of the group is its salt. An unreadable file leaves the last hash.
        """
        salt = hashlib.blake2b(self._settings.replicas.group_id.encode(), digest_size=16).digest()
        for slot in range(self._credentials.count()):
            with contextlib.suppress(ConfigurationError):
                text = self._credentials.read(slot).appkey.encode()
                self._hashes[slot] = hashlib.blake2b(text, key=salt, digest_size=8).hexdigest()
        return tuple(self._hashes.get(slot, "") for slot in range(self._credentials.count()))

    async def request_approval_key(self, app_key: AppKey) -> Answer:
        """Ask KIS for an approval key."""
        return await self._approval.request(app_key)

    def find_problems(self) -> dict[Path, str | None]:
        """Return the problem of each file with a secret or certificate, or None if it has none.

        This waits for the disk.
        """
        kafka, registry = self._settings.kafka, self._settings.registry
        files = (
            kafka.ssl_ca_file,
            kafka.ssl_certificate_file,
            kafka.ssl_key_file,
            kafka.oauth_client_key_file,
            kafka.oauth_ca_file,
            kafka.gssapi_keytab_file,
            *files_of(registry),
            registry.oauth_client_key_file,
            registry.oauth_ca_file,
        )
        secrets = (
            kafka.sasl_password_file,
            kafka.ssl_key_password_file,
            kafka.oauth_client_secret_file,
            registry.password_file,
            registry.token_file,
            registry.oauth_client_secret_file,
            self._settings.kis.proxy_password_file,
        )
        return self._credentials.check_files() | look_at(files, secrets)
