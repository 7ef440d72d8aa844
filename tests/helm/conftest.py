"""The chart under a real Helm, and the schemas that its objects are checked against."""

import shutil

import pytest

from tests.conftest import started
from tests.helm.chart import CHART, Chart
from tests.helm.toolchain import build_helm, operator_schemas

REQUIRED = "KIS_BOND_REQUIRE_HELM"
# Double brackets are Prometheus' and Grafana's own, and nothing to Helm.
ALERTS = """groups:
  - name: kis-bond
    rules:
      - alert: Lost
        expr: increase(kis_bond_frames_lost_total[5m]) > 0
        annotations:
          summary: "{{ $labels.reason }}: {{ $value }}"
"""
DASHBOARD = """{
  "title": "Bonds",
  "panels": [{"title": "{{slot}}", "targets": [{"legendFormat": "{{ slot }}"}]}]
}
"""


@pytest.fixture(scope="session")
def chart():
    """Give the chart, under a Helm that was built for it."""
    return Chart(started("Helm", build_helm, REQUIRED))


@pytest.fixture(scope="session")
def chart_with_files(chart, tmp_path_factory):
    """Give a copy of the chart with small, known alerts and a small dashboard."""
    folder = tmp_path_factory.mktemp("chart") / "copy"
    shutil.copytree(CHART, folder)
    for path, text in (("rules/kis-bond-connector.yaml", ALERTS), ("dashboards/kis-bond-connector.json", DASHBOARD)):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return Chart(chart.helm, folder)


@pytest.fixture(scope="session")
def crds():
    """Give the OpenAPI schema of each kind of the Prometheus operator."""
    return started("the Prometheus operator's CRDs", operator_schemas, REQUIRED)
