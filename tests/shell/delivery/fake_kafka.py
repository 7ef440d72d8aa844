"""Brokers in memory: they refuse, hang, lose their leader, and keep all they accepted."""

import asyncio
from types import SimpleNamespace

from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder

from connector.core.ticks.latest import order_in
from connector.errors import NotInTime
from connector.shell.delivery import Kafka, LatestTopic
from connector.shell.delivery.refusals import REFUSALS, marked

TICKS, DEAD_LETTERS, LATEST = "ticks", "letters", "latest"


class Builder:
    """Holds records up to a number of bytes; the first one always fits."""

    def __init__(self, most_bytes=600):
        self.records = []
        self.bytes = 0
        self.closed = False
        self._most_bytes = most_bytes

    def append(self, *, timestamp, key, value, headers):
        """Add a record, or return None if the batch is full."""
        if self.records and self.bytes + len(value) > self._most_bytes:
            return None
        self.records.append(SimpleNamespace(timestamp=timestamp, key=key, value=value, headers=dict(headers)))
        self.bytes += len(value)
        return timestamp

    def size(self):
        """Return the bytes of all values."""
        return self.bytes

    def record_count(self):
        """Return the number of records."""
        return len(self.records)

    def close(self):
        """Accept no more records."""
        self.closed = True

    def _build(self):
        """Return the batch as aiokafka would send it."""
        real = BatchBuilder(10**7, 0)
        for one in self.records:
            real.append(timestamp=one.timestamp, key=one.key, value=one.value, headers=[*one.headers.items()])
        return real._build()


class Brokers:
    """Two brokers that lead alternate partitions, with all records they accepted, in order."""

    def __init__(self, partitions=4, *, latest=False):
        self.leads = {(TICKS, number): f"broker-{number % 2}" for number in range(partitions)} | {
            (DEAD_LETTERS, 0): "broker-0"
        }
        if latest:
            self.leads |= {(LATEST, number): f"broker-{number % 2}" for number in range(partitions)}
        self.latest = LatestTopic(LATEST, self.orders) if latest else None
        self.is_readable = True
        self.logs = {place: [] for place in self.leads}
        self.most_batch_bytes = {TICKS: 10**6, DEAD_LETTERS: 10**6, LATEST: 10**6}
        self.hanging = set()
        self.refuses = lambda topic, records: None
        self.judge = lambda topic, record: None  # the error by which one record is refused
        self.names_records = True  # whether the brokers tell which records of a batch they refuse
        self.batches_refused = 0
        self.producers = []
        self.abandoned = []

    def kafka(self):
        """Return these brokers as delivery's `Kafka`."""
        return Kafka(TICKS, DEAD_LETTERS, self.leaders, self.producer, self.start, self.abandon, self.latest)

    async def orders(self):
        """Return the order of each bond's latest value."""
        if not self.is_readable:
            raise NotInTime("the topic may not be read")
        held = [one for (topic, _), log in self.logs.items() if topic == LATEST for one in log]
        return {one.key.decode(): order_in(one.headers.items()) for one in held}

    async def leaders(self):
        """Return the leader of each partition."""
        found = {}
        for (topic, number), leader in self.leads.items():
            found.setdefault(topic, {})[number] = leader
        return found

    def refusal(self, topic, builder):
        """Return the error of a batch, or None."""
        if error := self.refuses(topic, builder.records):
            return marked(error, (), is_certain=True) if isinstance(error, REFUSALS) else error
        if builder.bytes > self.most_batch_bytes[topic]:
            return marked(MessageSizeTooLargeError(), (), is_certain=True)
        judged = {place: error for place, one in enumerate(builder.records) if (error := self.judge(topic, one))}
        return (
            marked(next(iter(judged.values())), judged if self.names_records else (), is_certain=True)
            if judged
            else None
        )

    def producer(self, leader):
        """Return a producer that starts at this broker."""
        self.producers.append(Producer(self, leader))
        return self.producers[-1]

    async def start(self, producer):
        """Start a producer's sender."""
        if producer.leader in self.hanging:
            raise KafkaConnectionError("no broker answers")
        producer._sender = SimpleNamespace(sender_task=asyncio.create_task(asyncio.Event().wait()))

    async def abandon(self, producer):
        """End a producer; batches it has not acknowledged are never written."""
        self.abandoned.append(producer)
        if producer._sender:
            producer._sender.sender_task.cancel()
            await asyncio.wait([producer._sender.sender_task])


class Producer:
    """Acknowledges each batch a moment later, unless its broker hangs."""

    create_batch = staticmethod(Builder)

    def __init__(self, brokers, leader):
        self.leader = leader
        self._brokers = brokers
        self._sender = None

    async def send_batch(self, builder, topic, *, partition):
        """Return the future of the batch's acknowledgement."""
        assert builder.closed
        answer = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(self._answer, builder, topic, partition, answer)
        return answer

    def _answer(self, builder, topic, partition, answer):
        brokers = self._brokers
        if brokers.leads.get((topic, partition)) in {None, *brokers.hanging} or answer.done():
            return
        error = brokers.refusal(topic, builder)
        if error:
            brokers.batches_refused += 1
            answer.set_exception(error)
        else:
            brokers.logs[topic, partition] += builder.records
            answer.set_result(None)
