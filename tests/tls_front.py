"""Gives TLS to a plain server; it never answers a client that ends its TLS connection."""

import contextlib
import socket
import ssl
import threading


@contextlib.contextmanager
def tls_front(port, certificate):
    """Give the port at which the server on `port` is reached over TLS, with this certificate.

    A client that says good-bye gets no answer and no end of the connection, as from a server that
    is too busy. The connections end when the block ends.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=_accept, args=(listener, port, context, stack), daemon=True).start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener, port, context, stack):
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            stack.callback(client.close)
            threading.Thread(target=_join, args=(client, port, context, stack), daemon=True).start()


def _join(client, port, context, stack):
    with contextlib.suppress(OSError):
        secured = stack.enter_context(context.wrap_socket(client, server_side=True))
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        back = threading.Thread(target=_copy, args=(plain, secured), daemon=True)
        back.start()
        _copy(secured, plain)


def _copy(source, target):
    with contextlib.suppress(OSError):
        while read := source.recv(65536):
            target.sendall(read)
