"""Error codes aiokafka does not know are told apart."""

from aiokafka import errors

from connector.shell.delivery.refusals import REFUSALS, InvalidRecordError


def test_an_invalid_record_has_its_own_error():
    """The broker's code 87 is no unknown error, and no later try ends otherwise."""
    assert errors.for_code(87) is InvalidRecordError
    assert InvalidRecordError in REFUSALS
    assert not InvalidRecordError.retriable
