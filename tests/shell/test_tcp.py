"""A TCP connection goes to the address that answers, and a cancelled one leaves no socket."""

import asyncio
import gc
import socket
import time

import pytest

from connector.shell.tcp import open_tcp
from tests import two_addresses
from tests.kafka.process import free_ports
from tests.wall_time import is_within


async def test_an_address_that_swallows_connections_is_passed_over(monkeypatch):
    """The second address answers although the first is silent, long before a time-out."""
    two_addresses.resolve(monkeypatch)
    with socket.create_server((two_addresses.ANSWERS, 0)) as server:
        port = server.getsockname()[1]

        async def connect():
            since = time.monotonic()
            with await open_tcp(two_addresses.NAME, port) as connection:
                assert connection.getpeername()[0] == two_addresses.ANSWERS
            return time.monotonic() - since

        with two_addresses.swallowing(port):
            assert await is_within(3, connect)


async def test_a_closed_port_is_an_error():
    """If no address accepts the connection, the error says so."""
    (port,) = free_ports(1)
    with pytest.raises(ConnectionRefusedError):
        await open_tcp("127.0.0.1", port)


async def test_a_name_that_cannot_be_encoded_is_an_error_of_the_network():
    """Callers catch OSError, and UnicodeError is none."""
    with pytest.raises(OSError, match=r"'a\.\.b' is not a host name"):
        await open_tcp("a..b", 80)


async def test_a_cancelled_connect_leaves_no_socket_open():
    """Cancelled at any turn of the loop, it leaves no socket: a warning would fail this test."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for turns in range(20):
            task = asyncio.create_task(open_tcp("127.0.0.1", port))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            for result in await asyncio.gather(task, return_exceptions=True):
                if not isinstance(result, BaseException):
                    result.close()
    gc.collect()
