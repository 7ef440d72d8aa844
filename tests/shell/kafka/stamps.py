"""Writes records of which some have no timestamp."""

from aiokafka import AIOKafkaProducer


async def write_with_stamps(arguments, topic, value, partitions):
    """Write `value(second)` into the partition of each second, as received in that second of 1970.

    Those of even seconds get no timestamp.
    """
    async with AIOKafkaProducer(**arguments) as producer:
        for second, partition in partitions.items():
            batch = producer.create_batch()
            headers = [("received-ns", b"%d" % (second * 10**9))]
            batch.append(timestamp=second * 1000 if second % 2 else -1, key=b"k", value=value(second), headers=headers)
            await (await producer.send_batch(batch, topic, partition=partition))
