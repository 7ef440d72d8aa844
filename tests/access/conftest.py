"""What the tests of access share: a rig on one broker."""

import asyncio

import pytest

from tests.conftest import started
from tests.faults.rig import Rig
from tests.kafka.launcher import JavaKafka

REQUIRED = "KIS_BOND_REQUIRE_ACCESS"


class OneKafka:
    """One broker, as a rig uses a cluster; no row ends it."""

    def __init__(self):
        self.broker = JavaKafka()
        self.broker.start()
        self.bootstrap_servers = self.direct_servers = self.broker.bootstrap_servers
        self.brokers = self.broker.brokers

    async def heal(self):
        """Do nothing: the broker is never ended."""


@pytest.fixture(scope="session")
def _one_kafka():
    cluster = started("Kafka", OneKafka, REQUIRED)
    yield cluster
    cluster.broker.close()


@pytest.fixture
async def access_rig(_one_kafka):
    """Give a rig whose rows do not touch the brokers."""
    await asyncio.sleep(0)
    return Rig(_one_kafka, 4, full=False)
