"""The types of setting values. Each refuses a wrong value with "problem: fix"."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from connector import small_file
from connector.core.printable import printable, trimmed
from connector.settings.secret_files import MAX_PEM_BYTES, NotOneLine, read_secret

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
# A host or [IPv6 address], and a port.
_BROKER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")

_HOST = re.compile(r"[A-Za-z0-9._-]+")


_VARIABLE = re.compile(r"\$[A-Za-z_{(]")
_ENCLOSED_VARIABLE = re.compile(r"\$[{(]")
_NOT_IN_A_URL = re.compile(r"[\s\"'`$]")
_MAX_SIZE_DIGITS = 18
_PARAMETER = re.compile(r"[A-Za-z0-9._-]{1,100}")
_MAX_PARAMETERS = 20
# Parameters of a token request that the connector sets by itself; a secret belongs in a file.
_OWN_PARAMETERS = {
    *("grant_type", "scope", "audience"),
    *("client_id", "client_secret", "client_assertion", "client_assertion_type"),
}
_MAX_CHARACTERS = 1_000  # Kafka's protocol takes names up to 32,767 bytes


def plain(value: str) -> str:
    """Return the trimmed value.

    Raises ValueError for invisible characters, for quotes around it, and for a variable in it.
    """
    value = trimmed(value)
    for character in value:
        if printable(character) != character:
            raise ValueError(f"holds {_named(character)}, which cannot be seen: remove it")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        raise ValueError("is in quotes, which would be part of it: remove them")
    if _ENCLOSED_VARIABLE.search(value):
        raise ValueError("holds a variable, such as ${NAME}, which is not replaced here: give the value itself")
    return value


def refuse_shape(value: object, kind: object) -> None:
    """Raise ValueError if a value cannot be of this type, whatever it holds."""
    if isinstance(value, bool) and kind is not bool:
        raise ValueError(f"is {str(value).lower()}: put quotes around text, or give a number")
    if type(value) is dict and kind != Parameters | None:
        raise ValueError("is a section: give a single value")
    if type(value) is list and kind != Hosts | None:
        raise ValueError("is a list: give a single value; several brokers are one text, joined by commas")
    if value is None or (value == "" and kind in {int, float, bool}):
        raise ValueError("is empty: give a value, or remove the setting")


def _named(character: str) -> str:
    return f"U+{ord(character):04X}"


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+)\s*(B|KiB|MiB|GiB|TiB)?\s*", value)
    if match and len(match[1]) > _MAX_SIZE_DIGITS:
        raise ValueError(f"has more than {_MAX_SIZE_DIGITS} digits: give a smaller size, such as 1GiB")
    if match is None:
        raise ValueError(f"{value!r} is not a size: give bytes, or a whole number with KiB, MiB or GiB, such as 1GiB")
    return int(match[1]) * _UNITS[match[2] or "B"]


def _brokers(value: str) -> str:
    brokers = [broker.strip() for broker in value.split(",")]
    for number, broker in enumerate(brokers, 1):
        match = _BROKER.fullmatch(broker)
        if match is None or not 1 <= int(match[1]) <= 65535:
            which = f"number {number} of {len(brokers)} " if len(brokers) > 1 else ""
            # Not quoted: it may be a user name with a password.
            raise ValueError(f"{which}is not a broker address: give host:port, or several joined by commas")
    return ",".join(brokers)


def _topic(value: str) -> str:
    if not _TOPIC.fullmatch(value) or value in {".", ".."}:
        raise ValueError(f"{value!r} is not a topic name: use 1 to 249 letters, digits, dots, underscores and hyphens")
    return value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty: give a text, or remove the setting")
    if len(value) > _MAX_CHARACTERS:
        raise ValueError(f"has more than {_MAX_CHARACTERS:,} characters: give a shorter text")
    return value


def whole_path(value: object) -> object:
    """Return a path with `~` expanded. Raises ValueError if it cannot be used as written."""
    if not isinstance(value, str):
        return value
    if not value:
        raise ValueError("is empty: give a path, or remove the setting")
    if _VARIABLE.search(value):
        raise ValueError(f"{value} holds a variable, which is not replaced here: give the whole path")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"{value} begins with an unknown user's folder: give the whole path") from None


def _readable(value: Path) -> Path:
    try:
        small_file.read(value, MAX_PEM_BYTES)
    except OSError as error:
        raise ValueError(f"{value} could not be read ({error.strerror}): correct the path or its permissions") from None
    return value


def _secret(value: Path) -> Path:
    try:
        read_secret(value)
    except NotOneLine as error:
        raise ValueError(f"{value} {error.strerror}: write nothing but the password into it, as one line") from None
    except OSError as error:
        raise ValueError(f"{value} could not be read ({error.strerror}): correct the path or its permissions") from None
    return value


def _signing_key(value: Path) -> Path:
    # Imported only here: few installations have such a key, and the library takes long to load.
    from connector.core.client_assertion import LEAST_RSA_BITS, MOST_RSA_BITS, read_key  # noqa: PLC0415 - as said

    try:
        read_key(small_file.read(value, MAX_PEM_BYTES))
    except OSError as error:
        raise ValueError(f"{value} could not be read ({error.strerror}): correct the path or its permissions") from None
    except ValueError as error:
        raise ValueError(
            f"{value} {error}: give a private key without a password as PEM, either RSA with {LEAST_RSA_BITS} to"
            f" {MOST_RSA_BITS} bits, or the curve P-256"
        ) from None
    return value


def _url(value: str, *schemes: str) -> str:
    allowed = " or ".join(f"{scheme}://" for scheme in schemes)
    if len(value) > _MAX_CHARACTERS:
        raise ValueError(f"has more than {_MAX_CHARACTERS:,} characters: give a URL that begins with {allowed}")
    if "@" in value:  # wherever it is: a password may hold / and ?
        raise ValueError("contains a user name or password: remove them from the URL, as logs would show them")
    try:
        parts = urlsplit(value)
        broken = parts.scheme not in schemes or not parts.hostname or parts.port == 0
    except ValueError:
        raise ValueError(f"is not a URL: give one that begins with {allowed}") from None
    if _NOT_IN_A_URL.search(value):
        raise ValueError("holds a blank, a quote or $, which no URL has and nothing replaces here: give the whole URL")
    if broken:
        raise ValueError(f"is not a URL of the right kind: give one that begins with {allowed}")
    if not _is_host(parts.hostname or ""):
        raise ValueError(f"{parts.hostname!r} is not a host name: correct it in the URL")
    # The scheme is made lower case, because other code compares it.
    return parts.scheme + value[len(parts.scheme) :]


def _plain_http_url(value: str) -> str:
    return _url(value, "http")


def _http_url(value: str) -> str:
    return _url(value, "http", "https")


def _websocket_url(value: str) -> str:
    return _url(value, "ws", "wss")


def _base(value: str) -> str:
    """Return the URL without a slash at its end, so that a path can be added."""
    if "?" in value or "#" in value:
        raise ValueError("holds ? or #, and a path is added to this URL: give it without a query or fragment")
    return value.rstrip("/")


def _bases(value: str) -> str:
    return ",".join(_base(_http_url(each.strip())) for each in value.split(","))


def _parameters(value: object) -> object:
    """Return the parameters of a mapping, or of a text such as `a=1,b=2`."""
    if isinstance(value, str):
        value = dict(part.partition("=")[::2] for part in value.split(","))
    if not isinstance(value, dict) or len(value) > _MAX_PARAMETERS:
        raise ValueError(f"is not a mapping of at most {_MAX_PARAMETERS} names: give names and their values")
    pairs = {str(name).strip(): plain(str(given)) for name, given in value.items()}
    for name, given in pairs.items():
        if not _PARAMETER.fullmatch(name) or len(given) > _MAX_CHARACTERS:
            raise ValueError("has a name or a value that no parameter has: give names of letters, digits, _, - and .")
        if name in _OWN_PARAMETERS:
            raise ValueError(f"names {name}, which has a setting of its own: use that, or leave it out")
    return pairs


def _is_ipv6(host: str) -> bool:
    try:
        return IPv6Address(host.removeprefix("[").removesuffix("]")) is not None
    except ValueError:
        return False


def _is_host(host: str) -> bool:
    """Return whether host is an address, or a name that every library can encode and decode."""
    if _is_ipv6(host):
        return True
    try:
        name = host.encode("idna")
        name.decode("idna")
    except UnicodeError:
        return False
    return _HOST.fullmatch(name.decode("ascii")) is not None


def _host(value: str) -> str:
    if not _is_host(value):
        raise ValueError(f"{value!r} is not a host name: give a name or an address without a port")
    return value.removeprefix("[").removesuffix("]")


def _hosts(value: object) -> object:
    hosts = value.split(",") if isinstance(value, str) else value
    if not isinstance(hosts, list | tuple) or not all(isinstance(host, str) for host in hosts):
        raise ValueError("is neither a text nor a list of texts: give host names joined by commas")
    hosts = tuple(host.strip() for host in hosts)
    for host in hosts:
        if not _HOST.fullmatch(host) and not _is_ipv6(host):
            raise ValueError(f"{host!r} is not a host name: give names or addresses without a port, joined by commas")
    return hosts


Brokers = Annotated[str, AfterValidator(_brokers)]
Host = Annotated[str, AfterValidator(_host)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_hosts, json_schema_input_type=str | tuple[str, ...])]
Text = Annotated[str, AfterValidator(_filled)]
TopicName = Annotated[str, AfterValidator(_topic)]
WholePath = Annotated[Path, BeforeValidator(whole_path)]
ReadableFile = Annotated[WholePath, AfterValidator(_readable)]
SecretFile = Annotated[WholePath, AfterValidator(_secret)]
SigningKeyFile = Annotated[WholePath, AfterValidator(_signing_key)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
BaseUrl = Annotated[HttpUrl, AfterValidator(_base)]
PlainHttpUrl = Annotated[str, AfterValidator(_plain_http_url), AfterValidator(_base)]
BaseUrls = Annotated[str, AfterValidator(_bases)]
Parameters = Annotated[dict[str, str], BeforeValidator(_parameters)]
WebSocketUrl = Annotated[str, AfterValidator(_websocket_url)]
Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=int | str), Field(ge=1)]
