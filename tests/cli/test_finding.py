"""How a command ends after several tries."""

import pytest

from connector.cli.finding import Finding, ending
from connector.errors import CredentialsRefused, JournalUnusable, NotInTime

OK = Finding("Kafka", "answered")
KEY_OK, REFUSED = Finding("app key 0", "granted"), Finding("app key 1", "refused", CredentialsRefused)
JOURNAL, LATE = Finding("journal", "held", JournalUnusable), Finding("WebSocket port", "away", NotInTime)


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], None),
        ([OK, KEY_OK], None),
        ([OK, REFUSED, LATE], 3),
        ([KEY_OK, REFUSED], 5),
        ([JOURNAL, KEY_OK, LATE], 4),
        ([OK, LATE], 5),
    ],
)
def test_ending(findings, code):
    """3 stands for every app key refused, 4 for the journal, 5 for anything else that failed."""
    ended = ending(findings)
    assert (ended.exit_code if ended else None) == code


def test_the_message_names_what_failed():
    """What failed is named."""
    assert str(ending([OK, REFUSED, KEY_OK, LATE])) == "Not in order: app key 1, WebSocket port."
