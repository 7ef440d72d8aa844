"""Decides which `Host` headers the HTTP endpoints answer.

A foreign web page can make its own host name resolve to our address (DNS rebinding). The browser
then lets the page read our answers. So we check the host name that the request asks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:@/\\\[\]]+)(?::\d{1,5})?")


@dataclass(frozen=True)
class AnsweredHosts:
    """The host names that are answered. If `names` is None, every name is answered.

    Loopback names and the address that a request was sent to are always answered.
    """

    names: frozenset[str] | None

    def include(self, header: str | None, own_address: str) -> bool:
        """Return whether a request with this header, sent to `own_address`, is answered."""
        if self.names is None:
            return True
        host = read_host(header or "")
        return host is not None and (host in self.names or is_loopback(host) or host == normal(own_address))


def answered_hosts(allowed: tuple[str, ...] | None, bound: list[str]) -> AnsweredHosts:
    """Return the hosts that a server bound to these addresses answers.

    If `allowed` is None, a server bound only to loopback addresses answers only loopback hosts, and
    any other server answers every host.
    """
    if allowed is None and not all(is_loopback(address) for address in bound):
        return AnsweredHosts(None)
    return AnsweredHosts(frozenset(normal(name) for name in allowed or ()))


def read_host(header: str) -> str | None:
    """Return a Host header's name or address without the port, or None for a malformed header."""
    match = _HOST.fullmatch(header.strip())
    return normal(match[1].strip("[]")) if match else None


def normal(host: str) -> str:
    """Return a name or address in the one spelling that we compare."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return host.lower().removesuffix(".")
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_loopback(host: str) -> bool:
    """Return whether a host is `localhost` or a loopback address."""
    host = normal(host)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
