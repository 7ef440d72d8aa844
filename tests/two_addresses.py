"""A name with two addresses: the first swallows connections, the second answers."""

import contextlib
import socket

NAME = "two-addresses.test"
SWALLOWS, ANSWERS = "127.0.0.2", "127.0.0.1"


@contextlib.contextmanager
def swallowing(port):
    """Fill the backlog of a listener that never accepts: further connections get no answer."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((SWALLOWS, port))
        listener.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((SWALLOWS, port))
        yield


def resolve(monkeypatch):
    """Play the DNS: the name has both addresses, in this order; others resolve as ever."""
    genuine = socket.getaddrinfo

    def both(host, port, *args, **kwargs):
        if host not in (NAME, NAME.encode()):
            return genuine(host, port, *args, **kwargs)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port))) for address in (SWALLOWS, ANSWERS)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
