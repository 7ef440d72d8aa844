"""A connector to look at: the simulator, the embedded broker and a connector in a process of its own."""

from contextlib import asynccontextmanager

from connector.cli.demo import kafka
from connector.settings import TopicSettings
from simulator import Simulator
from tests.conftest import TopicNames
from tests.deployment import Deployment


@asynccontextmanager
async def running_connector(folder, *, app_keys=0, environment=None, **exchange):
    """Give a connector that is ready, beside the exchange it talks to; nothing is wanted yet."""
    names = TopicNames(**TopicSettings().model_dump())
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


def address(connector):
    """Return where the page is."""
    return f"http://127.0.0.1:{connector.port}/"
