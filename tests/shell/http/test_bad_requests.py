"""What aiohttp says about a connection becomes one line; tests/bad_input has real requests."""

import pytest
from aiohttp.http_exceptions import LineTooLong
from structlog.testing import capture_logs

from connector.shell.http.bad_requests import RequestLog


def test_a_fault_of_the_client_is_one_line_without_its_words():
    """The line names the client and the kind of fault, and holds neither traceback nor content."""
    with capture_logs() as lines:
        RequestLog().exception("Error from %s", "10.0.0.1", exc_info=LineTooLong(b"canary", 10))
        RequestLog().debug("Error from %s", "10.0.0.1", exc_info=ConnectionResetError("canary"))
    assert lines == [
        {"event": "http_request_bad", "client": "10.0.0.1", "fault": fault, "log_level": "info"}
        for fault in ("LineTooLong", "ConnectionResetError")
    ]


def test_an_error_of_our_own_keeps_its_traceback():
    """A bug in an endpoint is an error with its exception, since nobody else would tell."""
    error = KeyError("bug")
    with capture_logs() as lines:
        RequestLog().exception("Error from %s", "10.0.0.1", exc_info=error)
    assert lines == [{"event": "http_request_failed", "client": "10.0.0.1", "exc_info": error, "log_level": "error"}]


@pytest.mark.parametrize("say", [RequestLog().debug, RequestLog().warning])
def test_what_is_no_fault(say):
    """Small talk about connections is not logged, a warning of the library is."""
    with capture_logs() as lines:
        say("Closed after %s s", 3)
    assert [line["message"] for line in lines] == (["Closed after 3 s"] if say.__name__ == "warning" else [])
