"""An error code that aiokafka does not know has its own class."""

from aiokafka import errors

from connector.shell.delivery.refusals import REFUSALS, InvalidRecordError


def test_an_invalid_record_has_its_own_error():
    """The broker's code 87 is InvalidRecordError, and counts as a refusal."""
    assert errors.for_code(87) is InvalidRecordError
    assert InvalidRecordError in REFUSALS
    assert not InvalidRecordError.retriable
