"""Prometheus and promtool, as Debian packages them."""

import pytest

from tests.conftest import started
from tests.operations.server import PrometheusServer, binary

REQUIRED = "KIS_BOND_REQUIRE_PROMETHEUS"


@pytest.fixture(scope="session")
def promtool():
    """Give the path of promtool."""
    return started("promtool", lambda: binary("promtool"), REQUIRED)


@pytest.fixture
def prometheus(tmp_path):
    """Return what starts a Prometheus for a scrape target; the end stops it."""
    server = PrometheusServer(started("Prometheus", lambda: binary("prometheus"), REQUIRED), tmp_path / "prometheus")
    yield server
    server.stop()
