"""Connectors beside an exchange of their own."""

import signal
from contextlib import asynccontextmanager

import pytest

from simulator import Simulator
from tests.deployment import Deployment


@pytest.fixture
async def deploy(kafka, topic_names, tmp_path):
    """Return what starts an exchange and sets up a connector beside it; the end kills it."""
    deployments = []

    @asynccontextmanager
    async def deployed(*, cluster=kafka, topics=True, app_keys=0, **exchange):
        async with Simulator(**exchange) as kis:
            made = Deployment(kis, cluster.bootstrap_servers, topic_names, tmp_path)
            deployments.append(made)
            if app_keys:
                made.use_app_keys(app_keys)
            if topics:
                made.create_topics()
            try:
                yield made
            finally:
                if made.process and made.process.returncode is None:
                    await made.end(signal.SIGKILL)

    return deployed
