"""The types of setting values. Each refuses a wrong value with "problem: fix"."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PositiveInt

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
# A host or [IPv6 address], and a port.
_BROKER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")


def _size(value: object) -> object:
    if not isinstance(value, str) or value.strip().isdecimal():
        return value
    match = re.fullmatch(r"\s*(\d+)\s*(B|KiB|MiB|GiB|TiB)\s*", value)
    if match is None:
        raise ValueError(f"{value!r} is not a size: give bytes, or a whole number with KiB, MiB or GiB, such as 1GiB")
    return int(match[1]) * _UNITS[match[2]]


def _brokers(value: str) -> str:
    brokers = [broker.strip() for broker in value.split(",")]
    for broker in brokers:
        match = _BROKER.fullmatch(broker)
        if match is None or not 1 <= int(match[1]) <= 65535:
            shown = "one of them" if "@" in broker else repr(broker)
            raise ValueError(f"{shown} is not a broker address: give host:port, or several joined by commas")
    return ",".join(brokers)


def _topic(value: str) -> str:
    if not _TOPIC.fullmatch(value) or value in {".", ".."}:
        raise ValueError(f"{value!r} is not a topic name: use 1 to 249 letters, digits, dots, underscores and hyphens")
    return value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty: give a text, or remove the setting")
    return value


def _readable(value: Path) -> Path:
    try:
        with value.open("rb"):
            return value
    except OSError as error:
        raise ValueError(f"{value} could not be read ({error.strerror}): correct the path or its permissions") from None


def _url(value: str, *schemes: str) -> str:
    allowed = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(value)
        broken = parts.scheme not in schemes or not parts.hostname or parts.port == 0
    except ValueError:
        raise ValueError(f"is not a URL: give one that begins with {allowed}") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("contains a user name or password: remove them from the URL, as logs would show them")
    if broken:
        raise ValueError(f"{value!r} is not a URL of the right kind: give one that begins with {allowed}")
    return value


def _http_url(value: str) -> str:
    return _url(value, "http", "https")


def _websocket_url(value: str) -> str:
    return _url(value, "ws", "wss")


def without_slash(value: str) -> str:
    """Return a URL to which a path can be added."""
    return value.rstrip("/")


Brokers = Annotated[str, AfterValidator(_brokers)]
Text = Annotated[str, AfterValidator(_filled)]
TopicName = Annotated[str, AfterValidator(_topic)]
ReadableFile = Annotated[Path, AfterValidator(_readable)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
WebSocketUrl = Annotated[str, AfterValidator(_websocket_url)]
Size = Annotated[PositiveInt, BeforeValidator(_size)]
