"""Refused batches are sent again in parts, and few requests find the records to blame."""

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from connector.shell.delivery.batch import Batch, Record
from connector.shell.delivery.refusals import InvalidRecordError, marked
from connector.shell.delivery.resending import ACCEPTED_BEFORE_GROWTH, Resending
from tests.shell.delivery.fake_kafka import Builder


def create():
    """Return an empty builder."""
    return Builder(10**6)


def batch_of(count, size=10):
    """Return a closed batch."""
    builder = create()
    batch = Batch("t", 0, builder, builder.append, 1)
    for position in range(1, count + 1):
        record = Record(position, 1, 1, b"k", b"%d" % position + b"x" * size, ())
        batch.take(record)
    return batch


def send(resending, batch, refuses):
    """Send a batch until nothing is left; return positions accepted and refused, and requests."""
    accepted, refused, requests = [], [], 0
    while True:
        requests += 1
        if error := refuses(batch.records()):
            refused += [one.position for one in resending.put_back(batch, error, 1, create)]
        else:
            accepted += batch.positions
            resending.note_acknowledged()
        if not resending:
            return accepted, refused, requests
        batch = resending.next_batch(create, "t", 0)


@pytest.mark.parametrize(
    ("bad", "most_requests"), [({77}, 2 * 10), ({1}, 2 * 10), ({600}, 2 * 10), (set(range(1, 601)), 610)]
)
def test_a_silent_broker_is_asked_about_few_batches(bad, most_requests):
    """One bad record costs two requests for each halving; all bad ones cost one request each."""
    accepted, refused, requests = send(
        Resending(),
        batch_of(600),
        lambda records: (
            marked(InvalidRecordError(), (), is_certain=True) if any(one.position in bad for one in records) else None
        ),
    )
    assert refused == sorted(bad)
    assert accepted == [position for position in range(1, 601) if position not in bad]
    assert requests <= most_requests + 11


def test_a_broker_that_names_the_records_is_asked_twice():
    """The named records leave, and the others are one batch."""
    bad = {3, 50, 51, 600}

    def refuses(records):
        places = [place for place, one in enumerate(records) if one.position in bad]
        return marked(InvalidRecordError(), places, is_certain=True) if places else None

    accepted, refused, requests = send(Resending(), batch_of(600), refuses)
    assert (len(accepted), refused, requests) == (596, sorted(bad), 2)


def too_large(most):
    """Return a broker that refuses batches above a number of bytes."""
    return lambda records: (
        marked(MessageSizeTooLargeError(), (), is_certain=True)
        if sum(len(one.value) for one in records) > most
        else None
    )


def test_a_batch_too_large_as_a_whole_costs_no_record_and_teaches_the_limit():
    """All records are accepted in smaller batches, and the next batches are smaller."""
    resending, batch = Resending(), batch_of(100)
    whole = sum(record.bytes for record in batch.records())
    accepted, refused, _ = send(resending, batch, too_large(600))
    assert (accepted, refused) == (list(range(1, 101)), [])
    learned = resending.most_bytes
    assert whole // 8 <= learned <= whole // 3, "it took 600 of 1,192 bytes of values"
    for _ in range(ACCEPTED_BEFORE_GROWTH):
        assert resending.most_bytes == learned
        resending.note_acknowledged()
    assert resending.most_bytes == learned * 3 // 2, "the limit may have been raised"


def test_records_that_are_all_too_large_leave_with_a_few_requests(monkeypatch):
    """If one record alone is too large, those as large leave with it, without a request.

    No record is compared with another one: of 500 records, that would hold the loop for 100 ms.
    """
    monkeypatch.setattr(Record, "__eq__", lambda *_: pytest.fail("two records were compared"))
    accepted, refused, requests = send(Resending(), batch_of(512), too_large(5))
    assert accepted == []
    assert sorted(refused) == list(range(1, 513))
    assert requests < 20
