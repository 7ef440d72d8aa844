"""Something to look at: simulator, embedded broker, and a connector in its own process."""

from contextlib import asynccontextmanager

from connector.cli.demo import kafka
from connector.settings import TopicSettings
from simulator import Simulator
from tests.conftest import TopicNames
from tests.deployment import Deployment


@asynccontextmanager
async def running_connector(folder, *, app_keys=0, environment=None, **exchange):
    """Give a ready connector without wanted bonds, and its exchange."""
    names = TopicNames(**TopicSettings().names())
    with kafka.embedded() as address:
        async with Simulator(**exchange) as kis:
            connector = Deployment(kis, address, names, folder)
            connector.environment |= environment or {}
            if app_keys:
                connector.use_app_keys(app_keys)
            await connector.start()
            try:
                await connector.until_ready()
                yield connector
            finally:
                await connector.end()


def address(of):
    """Return the address of the page of a connector or an auditor."""
    return f"http://127.0.0.1:{of.port}/"
