"""What all examples read: topics with the same trading, on a real Kafka and registry."""

import os
import subprocess
import sys

import pytest

from tests.conftest import started
from tests.examples.feed import write_feed
from tests.examples.windows import windows_of
from tests.kafka.launcher import find_kafka
from tests.kafka.registry import Registry

REQUIRED = "KIS_BOND_REQUIRE_EXAMPLES"


@pytest.fixture(scope="session")
def example_feed():
    """Give the filled topics. Readers leave them as they are, except for `control`."""
    cluster = started("Kafka", find_kafka, REQUIRED)
    registry = started("a schema registry", Registry.launch, REQUIRED)
    yield write_feed(cluster.bootstrap_servers, registry.url)
    registry.close()
    cluster.close()


@pytest.fixture(scope="session")
def expected_windows(example_feed):
    """Give the windows that every example must compute."""
    return windows_of(example_feed.trades)


def printed(feed, *command):
    """Return what a command of `kis-bond` prints with the settings for a feed's topics."""
    run = subprocess.run(
        [sys.executable, "-m", "connector", *command],
        env=os.environ | feed.environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout
