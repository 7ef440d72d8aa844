"""Which Host headers are answered."""

import pytest

from connector.core.allowed_hosts import answered_hosts, read_host

LOOPBACK = ["127.0.0.1", "::1"]
OPEN = ["0.0.0.0"]


@pytest.mark.parametrize(
    "header",
    [
        *("localhost", "LOCALHOST", "localhost.", "localhost:8080"),
        *("127.0.0.1", "127.0.0.1:8080", "127.8.9.1"),
        *("[::1]", "[::1]:8080", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]"),
    ],
)
def test_a_loopback_bind_answers_loopback_names(header):
    """Every spelling of this machine's own names is answered."""
    assert answered_hosts(None, LOOPBACK).include(header, "127.0.0.1")


@pytest.mark.parametrize(
    "header",
    [
        *("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7"),
        *("", None, "localhost@evil.example", "evil.example/localhost", "localhost evil.example", "[::1]evil.example"),
    ],
)
def test_a_loopback_bind_answers_nothing_else(header):
    """A foreign, missing or malformed name is refused, so that no rebound name can be read."""
    assert not answered_hosts(None, LOOPBACK).include(header, "127.0.0.1")


@pytest.mark.parametrize("header", ["evil.example", "10.0.0.7", "", None, "a b"])
def test_other_binds_answer_any_name_by_default(header):
    """Without `http.allowed_hosts` a bind to other addresses looks at no Host."""
    assert answered_hosts(None, OPEN).include(header, "10.0.0.7")
    assert answered_hosts(None, ["127.0.0.1", "10.0.0.7"]).include(header, "10.0.0.7")


@pytest.mark.parametrize("bound", [LOOPBACK, OPEN])
def test_allowed_hosts_are_answered_and_no_others(bound):
    """Allowed names, loopback names and the address that the request came to are answered."""
    hosts = answered_hosts(("Status.Example", "fd00::7"), bound)
    answered = ["status.example", "STATUS.example:443", "status.example.", "[FD00:0::7]:80", "localhost:1", "10.0.0.7"]
    assert [header for header in answered if not hosts.include(header, "10.0.0.7")] == []
    refused = ["a.status.example", "example", "10.0.0.8", "[fd00::8]", ""]
    assert [header for header in refused if hosts.include(header, "10.0.0.7")] == []


def test_an_address_that_came_in_over_ipv6_is_compared_as_ipv4():
    """A socket for both families shows IPv4 addresses mapped into IPv6."""
    assert answered_hosts(("x",), ["::"]).include("10.0.0.7:8080", "::ffff:10.0.0.7")


def test_a_port_is_not_part_of_the_name():
    """Ports are dropped, and what is not a host and a port is malformed."""
    assert read_host(" a.example:80 ") == "a.example"
    assert [read_host(header) for header in ("a:b", "a:80:90", ":80", "[::1", "a\\b")] == [None] * 5
