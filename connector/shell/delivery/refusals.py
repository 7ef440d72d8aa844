"""The Kafka errors that come again if the same batch is sent again."""

from aiokafka import errors
from aiokafka.errors import (
    BrokerResponseError,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
)


class InvalidRecordError(BrokerResponseError):
    """The broker refused a record of the batch.

    aiokafka has no class for it, because it knows no error code above 79.
    """

    errno = 87
    message = "INVALID_RECORD"
    description = "A record was refused by the broker's checks."


errors.kafka_errors[InvalidRecordError.errno] = InvalidRecordError

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
REFUSALS = (*TOO_LARGE, InvalidTimestampError, InvalidRecordError, PolicyViolationError)
