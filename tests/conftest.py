"""Servers that the tests need, as far as this machine can have them."""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings

from tests.kafka.jars import Unavailable
from tests.kafka.launcher import KafkaCluster, find_kafka, start_kafka
from tests.kafka.registry import Registry

MARKERS = {
    "kafka": "kafka",
    "own_kafka": "kafka",
    "registry_url": "registry",
    "chart": "helm",
    "crds": "helm",
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "chromium": "browser",
    "docker": "docker",
    "compose": "docker",
    "example_feed": "examples",
    "realm": "access",
}
REQUIRED = "KIS_BOND_REQUIRE_KAFKA"
ACCESS_REQUIRED = "KIS_BOND_REQUIRE_ACCESS"  # of proxies and logins: `make access-test`
# A machine that stalls makes one example slow, and says nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
left_out: dict[str, tuple[str, str]] = {}


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Names of all topics of one test, for `settings.topics` and for readers."""

    ticks: str
    control: str
    status: str
    events: str
    dead_letters: str
    slots: str
    coverage: str


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    """Give one Kafka to all tests; nobody stops it."""
    cluster = started("Kafka", find_kafka)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def _kafka_of_module() -> Iterator[KafkaCluster]:
    cluster = started("a Kafka that tests may stop", start_kafka)
    yield cluster
    cluster.close()


@pytest.fixture
def own_kafka(_kafka_of_module: KafkaCluster) -> KafkaCluster:
    """Give the module's own running Kafka; a test may stop it and need not restart it."""
    _kafka_of_module.start()
    return _kafka_of_module


@pytest.fixture(scope="session")
def registry_url() -> Iterator[str]:
    """Give the URL of a Confluent-compatible schema registry that is empty at first."""
    registry = started("a schema registry", Registry.launch)
    yield registry.url
    registry.close()


@pytest.fixture
def topic_names() -> TopicNames:
    """Give topic names that no other test has; nothing is created."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    names = {name: f"{prefix}.{name.replace('_', '-')}" for name in TopicNames.__slots__}
    return TopicNames(**names)


def started(what, launch, required=REQUIRED):
    """Return what `launch` starts; without it, skip the test, or fail if `required` is 1."""
    try:
        return launch()
    except Unavailable as reason:
        left_out[what] = str(reason), required
        if os.environ.get(required) == "1":
            pytest.fail(f"{what} could not be had, and {required} is 1: {reason}", pytrace=False)
        pytest.skip(f"{what} could not be had: {reason}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark each test by the servers it needs, before `-m` chooses."""
    for item in items:
        for marker in {MARKERS[name] for name in item.fixturenames if name in MARKERS}:
            item.add_marker(marker)
            item.add_marker(pytest.mark.timeout(func_only=True))
        if "tests/cli/demo/" in item.nodeid:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter):
    """Say loudly which servers were missing, and so which tests did not run."""
    if left_out:
        terminalreporter.section("LEFT OUT", sep="!", red=True, bold=True)
        for what, (reason, required) in left_out.items():
            terminalreporter.line(
                f"Tests that need {what} did not run: {reason}. Set {required}=1 to make this a failure.", red=True
            )
