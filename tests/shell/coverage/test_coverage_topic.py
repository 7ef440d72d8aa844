"""Reading one partition of the coverage topic."""

from functools import partial

from confluent_kafka import Producer

from connector.settings import KafkaSettings
from connector.shell.coverage import read_partition
from connector.shell.kafka.arguments import client_arguments
from tests.kafka.reader import create_topics


async def test_one_partition_is_read_to_its_end(kafka, topic_names):
    """All records of the partition come in order, none of another one; an empty one gives none."""
    create_topics(kafka.bootstrap_servers, {topic_names.coverage: 3})
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for number in range(1_200):
        producer.produce(topic_names.coverage, str(number), b"k", number % 2, headers=[("resume", b"x")])
    assert producer.flush(30) == 0
    arguments = partial(client_arguments, KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), "test")
    for number, expected in ((0, range(0, 1_200, 2)), (1, range(1, 1_200, 2)), (2, ())):
        found = []
        await read_partition(arguments, topic_names.coverage, number, found.append)
        assert [int(record.value) for record in found] == list(expected)
    assert dict(found[0].headers) == {"resume": b"x"} if found else True
