"""Says in one sentence why a broker could not be reached, and looks again if the error is vague.

aiokafka says "Unable to bootstrap" whatever the cause is. A broker closes a connection of the wrong
protocol without a word. So we connect again to find the cause. These connections never log in,
because brokers count failed logins.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import SaslHandShakeRequest

from connector.core.printable import printable
from connector.logs import clean, peer_text
from connector.shell.access_token import NoAccessToken
from connector.shell.certificate import certificate_of, explain_refusal
from connector.shell.kafka.kerberos_login import NoTicket

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

LOOK_SECONDS: Final = 2.0
# Clients of an absent broker fail several times a second, and a look with TLS takes memory.
LOOK_AGAIN_SECONDS: Final = 2.0
MAX_LOOKED: Final = 1000
_NO_ERROR, _UNSUPPORTED_MECHANISM = 0, 33

# When each address was last looked at after each error, and what was found. The whole process
# shares the looks.
_looked: Final[dict[tuple[str, int, str, str], tuple[float, str]]] = {}


class Unreachable(KafkaConnectionError, NodeNotReadyError):
    """A broker could not be reached; the text is a sentence that says why."""

    def __str__(self) -> str:
        return str(self.args[0])


def describe(error: BaseException) -> str:
    """Return an error's text, with the error's name unless the text is a sentence of ours."""
    name, text = type(error).__name__, str(error)
    is_named = isinstance(error, Unreachable) or text.startswith(name)
    return clean(text if is_named else f"{name}: {text}".removesuffix(": "))


def with_remedy(error: BaseException, right: str) -> str:
    """Return an error of a topic in words, with the remedy if it is known.

    `right` is the Kafka permission that the request needs.
    """
    match error:
        case UnknownTopicOrPartitionError():
            return "the topic does not exist: run kis-bond topics init"
        # An idempotent producer cannot even start if its user may write to no topic (KIP-679).
        case ClusterAuthorizationFailedError() | TopicAuthorizationFailedError():
            return f"Kafka does not permit it: grant this user {right} on the topic"
        case _:
            return describe(error)


def address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return _show(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def explain_announced(
    brokers: Iterable[Any], asked: Container[tuple[str, int]], reasons: Mapping[tuple[str, int], str]
) -> str:
    """Return why brokers that the cluster announces cannot be reached, or "" if unknown.

    `asked` holds the bootstrap servers. `reasons` says, by address, why the last attempt failed.
    """
    known = []
    for broker in brokers:
        at = broker.host, broker.port
        if at in reasons:
            announced = f"Kafka announces broker {broker.nodeId} at {address(*at)} (its advertised.listeners), but "
            known.append(reasons[at] if at in asked else announced + reasons[at])
    return "; ".join(known)


async def explain(host: str, port: int, error: BaseException, arguments: Mapping[str, Any]) -> str:
    """Return why a connection could not be made; `arguments` are those of the connection.

    This never raises. If the search for the cause fails too, the text names both errors.
    """
    try:
        return await _explain(host, port, error, arguments)
    except Exception as odd:  # noqa: BLE001 - see above
        return f"{address(host, port)} could not be reached: {_show_error(error)} ({_show_error(odd)})"


async def _explain(host: str, port: int, error: BaseException, arguments: Mapping[str, Any]) -> str:
    at = address(host, port)
    match error:
        case socket.gaierror() | UnicodeError():
            return f"the host {_show(host)} is unknown: its name does not resolve"
        case ssl.SSLCertVerificationError():
            return await explain_refusal(
                host, port, error, address_setting="kafka.bootstrap_servers", authority_setting="kafka.ssl_ca_file"
            )
        case (
            SaslAuthenticationFailed()
            | UnsupportedSaslMechanismError()
            | IllegalSaslStateError()
            | NoAccessToken()
            | NoTicket()
        ):
            return await _explain_login(host, port, error, arguments)
        case TimeoutError():
            return f"{at} did not answer in {arguments['request_timeout_ms'] / 1000:g} s"
        case OSError() if f"[Errno {errno.ECONNREFUSED}]" in str(error):
            return f"{at} refused the connection: nothing listens there"
        case _:
            return await _explain_break(host, port, error, arguments)


async def _explain_login(host: str, port: int, error: BaseException, arguments: Mapping[str, Any]) -> str:
    at, mechanism = address(host, port), arguments["sasl_mechanism"]
    match error:
        case NoAccessToken() | NoTicket():
            return f"no login at {at}: {clean(str(error))}"  # a sentence of ours, whose end is the remedy
        case SaslAuthenticationFailed() if mechanism == "GSSAPI":
            user = arguments["sasl_plain_username"]
            remedy = "check kafka.gssapi_service_name, and the broker's principal and keytab"
            return f"{at} refused the Kerberos login of {user}: {_show_error(error)}: {remedy}"
        case SaslAuthenticationFailed() if mechanism == "OAUTHBEARER":
            remedy = "check kafka.oauth_scope and kafka.oauth_audience, and whom this broker trusts"
            return f"{at} refused our access token ({mechanism}): {_show_error(error)}: {remedy}"
        case SaslAuthenticationFailed():
            user = arguments["sasl_plain_username"]
            return f"{at} refused the user {user} or its password ({mechanism}): {_show_error(error)}"
        case UnsupportedSaslMechanismError():
            offered = await _offered_mechanisms(host, port, arguments)
            offer = f": it offers {', '.join(offered)}" if offered else ""
            return f"{at} does not accept kafka.sasl_mechanism {mechanism}{offer}"
        case _:
            protocol = arguments["security_protocol"].removeprefix("SASL_")
            return f"{at} asks for no login: set kafka.security_protocol to {protocol}"


async def explain_no_metadata(host: str, port: int, arguments: Mapping[str, Any]) -> str:
    """Return why a broker accepts a connection, but does not answer a request."""
    mechanisms = await _offered_mechanisms(host, port, arguments)
    if mechanisms and not arguments["security_protocol"].startswith("SASL_"):
        protocol = "SASL_SSL" if arguments["security_protocol"] == "SSL" else "SASL_PLAINTEXT"
        offer = ", ".join(mechanisms)
        return f"{address(host, port)} asks for a login ({offer}): set kafka.security_protocol to {protocol}"
    return f"{address(host, port)} accepted the connection, but did not answer"


async def _explain_break(host: str, port: int, error: BaseException, arguments: Mapping[str, Any]) -> str:
    """Return why a connection broke.

    While an address gives the same error, the look is repeated only after a while.
    """
    key = host, port, arguments["security_protocol"], " ".join(map(_show_named, _causes(error)))
    looked_at, reason = _looked.get(key, (float("-inf"), ""))
    if time.monotonic() < looked_at + LOOK_AGAIN_SECONDS:
        return reason
    reason = await _look(host, port, error, arguments)
    if len(_looked) >= MAX_LOOKED:
        _looked.clear()
    _looked[key] = time.monotonic(), reason
    return reason


def forget(host: str, port: int) -> None:
    """Forget what was found at an address, because a connection to it has been made."""
    for key in [key for key in _looked if key[:2] == (host, port)]:
        del _looked[key]


async def _look(host: str, port: int, error: BaseException, arguments: Mapping[str, Any]) -> str:
    """Return why a connection broke; if the error is vague, try with or without TLS."""
    at, protocol = address(host, port), arguments["security_protocol"]
    if isinstance(error, OSError) and not isinstance(error, (ssl.SSLError, ConnectionError)):
        return f"{at} could not be reached: {_show_error(error)}"
    refusal = next((each for each in _causes(error) if isinstance(each, ssl.SSLError)), None)
    if protocol.endswith("SSL"):
        if await _speaks_kafka(host, port):
            plain = "SASL_PLAINTEXT" if protocol == "SASL_SSL" else "PLAINTEXT"
            return f"{at} does not speak TLS: set kafka.security_protocol to {plain}, or use its TLS port"
        if refusal is not None and "CERTIFICATE" in str(refusal.reason):
            return f"{at} wants a client certificate that it trusts: see kafka.ssl_certificate_file ({refusal.reason})"
        if refusal is not None and refusal.reason == "WRONG_VERSION_NUMBER":
            return f"{at} speaks neither TLS nor Kafka's protocol: correct kafka.bootstrap_servers"
    elif await certificate_of(host, port) is not None:
        secure = "SASL_SSL" if protocol == "SASL_PLAINTEXT" else "SSL"
        return f"{at} speaks TLS only: set kafka.security_protocol to {secure}"
    return f"{at} could not be reached: {_show_error(error)}"


def _causes(error: BaseException) -> Iterable[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


async def _speaks_kafka(host: str, port: int) -> bool:
    """Return whether a broker answers without TLS."""
    connection = _connection(host, port, {"security_protocol": "PLAINTEXT", "ssl_context": None})
    with contextlib.suppress(OSError, KafkaError):
        await connection.connect()
        connection.close()
        return True
    return False


async def _offered_mechanisms(host: str, port: int, arguments: Mapping[str, Any]) -> list[str]:
    """Return the SASL mechanisms that a broker offers, or [] if it asks for no login."""
    protocol = arguments["security_protocol"].removeprefix("SASL_")
    given = {
        "security_protocol": "PLAINTEXT" if protocol == "PLAINTEXT" else "SSL",
        "ssl_context": arguments["ssl_context"],
    }
    connection = _connection(host, port, given)
    try:
        await connection.connect()
        # If we ask for a mechanism that does not exist, the broker names those it has.
        answer = await connection.send(SaslHandShakeRequest("NONE"))
    except (OSError, KafkaError):
        return []
    finally:
        connection.close()
    if answer.error_code not in {_NO_ERROR, _UNSUPPORTED_MECHANISM}:
        return []
    return sorted(_show(name) for name in answer.enabled_mechanisms)


def _connection(host: str, port: int, arguments: Mapping[str, Any]) -> AIOKafkaConnection:
    return AIOKafkaConnection(host, port, request_timeout_ms=int(LOOK_SECONDS * 1000), **arguments)


def _show_error(error: BaseException) -> str:
    text = str(error.args[0]) if isinstance(error, KafkaError) and error.args else str(error)
    return _show(text or type(error).__name__)


def _show_named(error: BaseException) -> str:
    return f"{type(error).__name__}: {_show_error(error)}"


def _show(text: str) -> str:
    return printable(peer_text(text))
