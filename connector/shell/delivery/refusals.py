"""Tells which records of a batch Kafka refused, and keeps the producer usable after the refusal.

Importing the module changes aiokafka, of which the pinned version is meant. It makes produce
requests of version 8 (KIP-467), whose answers name the refused records.
"""

from collections.abc import Collection
from typing import Any, Final

from aiokafka import errors
from aiokafka.errors import (
    BrokerResponseError,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
)
from aiokafka.producer.sender import SendProduceReqHandler
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v8
from aiokafka.structs import TopicPartition


class InvalidRecordError(BrokerResponseError):
    """The broker refused a record of the batch.

    aiokafka has no class for it, because it knows no error code above 79.
    """

    errno = 87
    message = "INVALID_RECORD"
    description = "A record was refused by the broker's checks."


errors.kafka_errors[InvalidRecordError.errno] = InvalidRecordError

# These errors come again if the same batch is sent again.
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
REFUSALS = (*TOO_LARGE, InvalidTimestampError, InvalidRecordError, PolicyViolationError)

_handle_response: Final[Any] = SendProduceReqHandler.handle_response


def marked(error: KafkaError, places: Collection[int], *, is_certain: bool) -> KafkaError:
    """Return the error of a refused batch with what else is known of the refusal.

    `places` are the refused records' places in the batch, from 0, and empty if the broker named
    none. `is_certain` is true if the broker has nothing of the batch, and the producer can go on.
    """
    error.places, error.is_certain = frozenset(places), is_certain  # type: ignore[attr-defined]
    return error


def refused_places(error: KafkaError, records: int) -> frozenset[int] | None:
    """Return the places of the refused ones among the batch's records, or None if not known."""
    places: frozenset[int] = getattr(error, "places", frozenset())
    return places or (frozenset({0}) if records == 1 else None)


def is_certain(error: KafkaError) -> bool:
    """Whether the broker has nothing of the batch, and the producer can go on."""
    return bool(getattr(error, "is_certain", False))


def _handle_refusals_first(handler: Any, response: Any) -> None:
    """Fail the refused batches of a response with marked errors, then handle all other ones.

    aiokafka would leave the sequence numbers of a refused batch used up, so that Kafka would refuse
    every later batch of the producer (aio-libs/aiokafka#1017). A batch that was sent once and then
    refused is not in the log: its numbers are free again. A batch that was sent more than once may
    be in the log, because an earlier answer may have been lost.
    """
    numbers = handler._sender._txn_manager  # noqa: SLF001 - no public way
    for topic, partitions in response.topics:
        for number, code, *rest in partitions:
            place, error = TopicPartition(topic, number), errors.for_code(code)
            batch = handler._batches.get(place)  # noqa: SLF001 - no public way
            if batch is None or not issubclass(error, REFUSALS):
                continue
            is_first = batch.retry_count == 1
            if is_first and numbers is not None:
                numbers.increment_sequence_number(place, -batch.record_count)
            refused = (
                [index for index, _ in rest[3] or ()] if response.API_VERSION >= ProduceRequest_v8.API_VERSION else []
            )
            batch.failure(marked(error(), refused, is_certain=is_first))
    _handle_response(handler, response)


ProduceRequest._CLASSES = (*ProduceRequest._CLASSES, ProduceRequest_v8)  # type: ignore[assignment]  # noqa: SLF001 - no public way
SendProduceReqHandler.handle_response = _handle_refusals_first  # type: ignore[method-assign]
