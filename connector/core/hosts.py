"""Which `Host` headers the HTTP endpoints answer.

A web page from elsewhere can make its own name resolve to our address (DNS rebinding). A browser
then lets it read our answers, unless we look at the name that the request asks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:@/\\\[\]]+)(?::\d{1,5})?")


@dataclass(frozen=True)
class AnsweredHosts:
    """Names that are answered beside this machine's own address; `names` None answers any name."""

    names: frozenset[str] | None

    def include(self, header: str | None, own_address: str) -> bool:
        """Return whether a request with this header, sent to `own_address`, is answered."""
        if self.names is None:
            return True
        host = read_host(header or "")
        return host is not None and (host in self.names or is_loopback(host) or host == normal(own_address))


def answered_hosts(allowed: tuple[str, ...] | None, bound: list[str]) -> AnsweredHosts:
    """Return the hosts that a server bound to these addresses answers.

    Without `allowed` that is any, or only loopback names if all addresses are loopback ones.
    """
    if allowed is None and not all(is_loopback(address) for address in bound):
        return AnsweredHosts(None)
    return AnsweredHosts(frozenset(normal(name) for name in allowed or ()))


def read_host(header: str) -> str | None:
    """Return a Host header's name or address without its port, None if it is malformed."""
    match = _HOST.fullmatch(header.strip())
    return normal(match[1].strip("[]")) if match else None


def normal(host: str) -> str:
    """Return the one spelling of a name or address that is compared."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return host.lower().removesuffix(".")
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_loopback(host: str) -> bool:
    """Return whether a name or address always means the same machine."""
    host = normal(host)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
