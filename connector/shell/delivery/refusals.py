"""Answers of Kafka that no later try of the same batch changes."""

from aiokafka import errors
from aiokafka.errors import (
    BrokerResponseError,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
)


class InvalidRecordError(BrokerResponseError):
    """The broker's checks of records refused one of a batch; aiokafka knows no error codes above 79."""

    errno = 87
    message = "INVALID_RECORD"
    description = "A record was refused by the broker's checks."


errors.kafka_errors[InvalidRecordError.errno] = InvalidRecordError

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
REFUSALS = (*TOO_LARGE, InvalidTimestampError, InvalidRecordError, PolicyViolationError)
