"""Logs aiokafka's clients in with Kerberos tickets that a keytab gets.

Importing the module changes aiokafka, of which the pinned version is meant. The package `gssapi`
comes with the extra of that name.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiokafka.conn import AIOKafkaConnection, SaslGSSAPIAuthenticator
from aiokafka.errors import SaslAuthenticationFailed

from connector.core.printable import printable
from connector.shell.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Generator

    from connector.settings import KafkaSettings

# How long no ticket is asked for after a KDC did not answer, and after one refused. It may lock an
# account that fails often. Another keytab is tried at once.
RETRY_SECONDS: Final = 10.0
RETRY_REFUSED_SECONDS: Final = 300.0
# After a broker refused our ticket, a further refusal changes nothing for so long.
KEEP_REFUSED_SECONDS: Final = 60.0
# By MIT's krb5.h, as 32 bits without a sign: KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN, _CLIENT_REVOKED and
# _PREAUTH_FAILED, and KRB5KRB_AP_ERR_BAD_INTEGRITY. No answer after a ticket has ended has no code.
REFUSALS: Final = frozenset(2529638912 + code for code in (6, 18, 24, 31))
KDC_UNREACHABLE: Final = 2529638912 + 156  # KRB5_KDC_UNREACH
# KRB5_FCC_NOFILE: "No credentials cache found", which it says if it has neither a ticket nor a key.
NO_KEY: Final = 2529638912 + 195
# The client's last message (RFC 4752, 3.1): no security layer, and so no size of a buffer.
NO_LAYER: Final = b"\x01\x00\x00\x00"

# A KDC that is away holds a thread for many seconds. The loop's own threads must stay free, because
# they look up KIS's address, and a stop waits for them.
_worker: Final = functools.cache(Worker)


class NoTicket(OSError):
    """There is no ticket for a broker; the text is a sentence that says why."""


class Keytab:
    """Gets the tickets of one principal. But for `forget`, it is used in one thread."""

    def __init__(self, principal: str, file: str) -> None:
        self._principal = principal
        self._file = file
        self._cache = f"MEMORY:kis-bond-{principal}"
        self._failure: NoTicket | None = None
        self._ask_again_at = float("-inf")
        self._version: int | None = None
        self._is_refused = False
        self._forget_again_at = float("-inf")

    def context(self, service: str) -> Any:
        """Return the security context of a login at a service, `name@host`. Raises NoTicket."""
        import gssapi  # noqa: PLC0415 - only some installations have it

        version = _version_of(self._file)
        if version != self._version:
            self._version, self._ask_again_at = version, float("-inf")
        if time.monotonic() < self._ask_again_at:
            raise NoTicket(str(self._failure))
        try:
            if self._is_refused:
                self._is_refused = False
                with contextlib.suppress(gssapi.exceptions.GSSError):  # another broker may take what we have
                    self._drop_service_tickets()
            credentials = self._credentials(self._cache)
        except gssapi.exceptions.GSSError as error:
            self._failure = NoTicket(
                f"KERBEROS_LOGIN: {self._principal} got no ticket with {self._file}: {self._why(error)}: "
                "check kafka.gssapi_principal, kafka.gssapi_keytab_file and the realm in krb5.conf"
            )
            is_refusal = error.min_code in REFUSALS
            self._ask_again_at = time.monotonic() + (RETRY_REFUSED_SECONDS if is_refusal else RETRY_SECONDS)
            raise self._failure from None
        target = gssapi.Name(service, gssapi.NameType.hostbased_service).canonicalize(gssapi.MechType.kerberos)
        return gssapi.SecurityContext(name=target, creds=credentials, usage="initiate")

    def forget(self) -> None:
        """Get new tickets for all services at the next login, because a broker refused ours.

        The broker's keys may have been replaced, and a ticket for the old ones may live for hours.
        """
        now = time.monotonic()
        if now >= self._forget_again_at:
            self._is_refused, self._forget_again_at = True, now + KEEP_REFUSED_SECONDS

    def _why(self, error: Any) -> str:
        if error.min_code != NO_KEY:
            return _said(error)
        return "it holds no key of this principal" if os.access(self._file, os.R_OK) else "it cannot be read"

    def _credentials(self, cache: str) -> Any:
        """Return our credentials with the tickets of a cache. Raises GSSError."""
        import gssapi  # noqa: PLC0415 - as above

        name = gssapi.Name(self._principal, gssapi.NameType.kerberos_principal)
        # Tickets live in this process alone. The library replaces them after half their life.
        store = {"client_keytab": f"FILE:{self._file}", "ccache": cache}
        credentials = gssapi.Credentials(name=name, usage="initiate", store=store)
        credentials.inquire(lifetime=True)  # this gets the first ticket, or replaces an old one
        return credentials

    def _drop_service_tickets(self) -> None:
        """Put another first ticket into the cache, which empties it. Raises GSSError.

        That ticket comes from a cache that no login uses, and that therefore has no other tickets.
        """
        first = self._credentials(f"{self._cache}-first")
        first.store({"ccache": self._cache}, usage="initiate", overwrite=True)


class KerberosLogin(SaslGSSAPIAuthenticator):
    """One login at one broker (RFC 4752); `service` is `name@host`."""

    def __init__(self, service: str, keytab: Keytab) -> None:
        self._service = service
        self._keytab = keytab
        self._authenticator = self._messages()

    def step(self, payload: bytes | None) -> Any:
        """Return the next message and whether it gets an answer, or None at the end."""
        return _worker("kerberos").run(self._next_message, payload)

    def _next_message(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        import gssapi  # noqa: PLC0415 - as above

        try:
            message: tuple[bytes, bool] = self._authenticator.send(payload)
        except StopIteration:
            return None
        except gssapi.exceptions.GSSError as error:
            remedy = (
                "it is asked again"
                if error.min_code == KDC_UNREACHABLE
                else "check kafka.gssapi_service_name, and that the realm knows the broker by this name"
            )
            raise NoTicket(
                f"KERBEROS_SERVICE: no login at the service {self._service}: {_said(error)}: {remedy}"
            ) from None
        return message

    def _messages(self) -> Generator[tuple[bytes, bool], bytes | None, None]:
        context = self._keytab.context(self._service)
        answer: bytes | None = None
        while not context.complete:
            answer = yield context.step(answer) or b"", True
        layers = context.unwrap(answer).message
        if not layers[:1] or not layers[0] & NO_LAYER[0]:
            raise NoTicket(f"KERBEROS_LAYER: the service {self._service} demands a security layer of SASL, not TLS")
        yield context.wrap(NO_LAYER, encrypt=False).message, False


def login_arguments(kafka: KafkaSettings) -> dict[str, Any]:
    """Return aiokafka's arguments for a login with the keytab."""
    return {
        "sasl_kerberos_service_name": kafka.gssapi_service_name,
        # aiokafka has no argument for either, and hands these two on to each connection unused.
        "sasl_plain_username": kafka.gssapi_principal,
        "sasl_plain_password": str(kafka.gssapi_keytab_file),
    }


# All clients of this process share a keytab's tickets, and its failure.
_keytab: Final = functools.cache(Keytab)


_handshake: Final[Any] = AIOKafkaConnection._do_sasl_handshake  # noqa: SLF001 - no public way


def _keytab_of(connection: Any) -> Keytab:
    return _keytab(connection._sasl_plain_username, connection._sasl_plain_password)  # noqa: SLF001 - no public way


def _login(connection: Any) -> KerberosLogin:
    return KerberosLogin(connection.sasl_principal, _keytab_of(connection))


async def _handshake_or_hear_refusal(connection: Any) -> None:
    """Log in; if a broker refuses our ticket, the next login gets another one."""
    try:
        await _handshake(connection)
    except SaslAuthenticationFailed:
        if connection._sasl_mechanism == "GSSAPI":  # noqa: SLF001 - no public way
            _keytab_of(connection).forget()
        raise


def _version_of(file: str) -> int | None:
    """Return what changes with a file, or None without one."""
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return None


def _said(error: Any) -> str:
    """Return what the Kerberos library says, which is the mechanism's own text if it has one."""
    own = str(error.get_all_statuses(error.min_code, is_maj=False)[0])
    # Of a ticket that has ended the library does not say why it got no new one.
    return printable(own if own != "Success" else str(error.get_all_statuses(error.maj_code, is_maj=True)[0]))


AIOKafkaConnection.authenticator_gssapi = _login  # type: ignore[method-assign]
AIOKafkaConnection._do_sasl_handshake = _handshake_or_hear_refusal  # type: ignore[method-assign]  # noqa: SLF001 - as above
