"""A journal, and a delivery to a real Kafka."""

import asyncio

from connector.settings import load
from connector.shell.delivery import Delivery, Kafka, LatestTopic
from connector.shell.delivery.latest_topic import orders_in
from connector.shell.kafka import clients
from connector.shell.kafka.closing import abandon
from tests.kafka.reader import read_all
from tests.shell.delivery.work import SCHEMA


class Rig:
    """A journal, and a delivery to topics that no other test uses."""

    def __init__(self, journal, kafka, names, framing, latest=None):
        async def prefix():
            return framing

        self.journal = journal
        self.names = names
        self.bootstrap = kafka.bootstrap_servers
        settings = load(None, {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers})
        self.delivery = Delivery(
            journal,
            SCHEMA,
            Kafka(
                names.ticks,
                names.dead_letters,
                lambda: clients.leaders(
                    settings.kafka, "test", [each for each in (names.ticks, names.dead_letters, latest) if each]
                ),
                lambda broker: clients.make_producer(settings.kafka, "test", broker),
                clients.start,
                abandon,
                latest and LatestTopic(latest, lambda: orders_in(latest, {"bootstrap_servers": self.bootstrap})),
            ),
            prefix,
        )
        self.task = asyncio.create_task(self.delivery.run())

    async def deliver(self, *frames):
        """Journal these frames and wait until all are finished."""
        for one in frames:
            self.journal.append(one)
        async with asyncio.timeout(60):
            await self.delivery.drained(self.journal.last_seq)

    async def read(self, topic):
        """Read a topic with the independent client."""
        return await asyncio.to_thread(read_all, self.bootstrap, topic)

    async def end(self):
        """End the delivery and close the journal."""
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.journal.close()
