"""Tests of the failure a command ends with after several tries."""

import pytest

from connector.cli.check_result import CheckResult, failure_of
from connector.errors import CredentialsRefused, JournalUnusable, NotInTime

OK = CheckResult("Kafka", "answered")
KEY_OK, REFUSED = CheckResult("app key 0", "granted"), CheckResult("app key 1", "refused", CredentialsRefused)
JOURNAL, LATE = CheckResult("journal", "held", JournalUnusable), CheckResult("WebSocket port", "away", NotInTime)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([], None),
        ([OK, KEY_OK], None),
        ([OK, REFUSED, LATE], 3),
        ([KEY_OK, REFUSED], 5),
        ([JOURNAL, KEY_OK, LATE], 4),
        ([OK, LATE], 5),
    ],
)
def test_failure_of(results, code):
    """3 means every app key was refused, 4 the journal failed, 5 something else failed."""
    failure = failure_of(results)
    assert (failure.exit_code if failure else None) == code


def test_the_message_names_what_failed():
    """The message names each part that failed."""
    assert str(failure_of([OK, REFUSED, KEY_OK, LATE])) == "Not in order: app key 1, WebSocket port."
