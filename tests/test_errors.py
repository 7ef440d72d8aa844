"""Errors and their exit codes."""

import pytest

from connector import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ConnectorError, 1),
        (errors.RequestMalformed, 2),
        (errors.CredentialsRefused, 3),
        (errors.JournalUnusable, 4),
        (errors.NotInTime, 5),
    ],
)
def test_exit_codes(kind, code):
    """Each error has the exit code of the contract."""
    assert kind("x").exit_code == code
    assert issubclass(kind, errors.ConnectorError)


def test_a_configuration_error_holds_all_problems():
    """A configuration error shows every problem on a line of its own."""
    error = errors.ConfigurationError(["a: b: c", "d: e: f"])
    assert error.exit_code == 2
    assert error.problems == ("a: b: c", "d: e: f")
    assert str(error) == "a: b: c\nd: e: f"
