"""The Grafana dashboard's queries show a running connector and auditor on a real Prometheus."""

import itertools
import json
import math
import re

import pytest

from connector.core.bonds.isin import with_check_digit
from simulator import Simulator
from simulator.embedded_kafka import EmbeddedKafka
from tests.app.audit.world import auditing, settings_of
from tests.deployment import Deployment
from tests.operations.server import JOB, ROOT, RULES

DASHBOARD = json.loads((ROOT / "helm/kis-bond-connector/dashboards/kis-bond-connector.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
METRICS = set(re.findall(r"kis_bond_\w+", (ROOT / "docs/metrics.md").read_text()))
# What a panel may show nothing of, for the reason its description gives.
MAY_BE_EMPTY = "Empty without an attempt."
SCRAPES = 12


@pytest.fixture
async def connector(topic_names, tmp_path):
    """Give a connector with two app keys that delivers ticks, its exchange, and its log."""
    topics = {
        getattr(topic_names, part): 6 if part in {"ticks", "events", "coverage"} else 1
        for part in topic_names.__slots__
    }
    isins = [with_check_digit(f"KR10350{number:04d}") for number in range(50)]
    keys = [(f"test-appkey-{slot}", f"test-appsecret-{slot}") for slot in range(2)]
    async with Simulator(rate=20, app_keys=keys) as kis:
        with EmbeddedKafka(topics) as kafka:
            made = Deployment(kis, kafka.bootstrap_servers, topic_names, tmp_path)
            made.use_app_keys(2)
            await made.start()
            try:
                made.write("desk", {"instruments": isins})
                await made.until_ready()
                await made.until_state("ACTIVE", isins)
                yield made
            finally:
                await made.end()


def query(expression):
    """Return a query as Grafana sends it, over a time that the test has."""
    for variable, value in {"$__rate_interval": "10s", "$__range": "1m", "$job": JOB, "$instance": ".*"}.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


@pytest.fixture
async def auditor(connector):
    """Give an auditor beside the connector."""
    async with auditing(settings_of(connector)) as auditor:
        yield auditor


async def test_every_panel_shows_a_running_connector_and_no_alert_fires(connector, auditor, prometheus):
    """Each query returns numbers, and alerts fire only when a secret's file vanishes."""
    prometheus.start(f"127.0.0.1:{connector.port}", f"127.0.0.1:{auditor.port}")

    async def scraped():
        counts = [
            await prometheus.values(f"count_over_time(kis_bond_{kind}_info[1m]) >= {SCRAPES}")
            for kind in ("build", "audit")
        ]
        return all(counts) and auditor.parts.auditor.ticks

    await connector.until(scraped)
    silent = []
    for panel in PANELS:
        for target in panel["targets"]:
            values = await prometheus.values(query(target["expr"]))
            if not any(math.isfinite(value) for value in values) and MAY_BE_EMPTY not in panel["description"]:
                silent.append((panel["title"], target["expr"], values))
    assert silent == []
    assert await firing(prometheus) == []

    secret = connector.folder / "credentials/appsecret-1"
    secret.unlink()

    async def alarmed():
        return await firing(prometheus)

    await connector.until(alarmed, 60)
    assert await firing(prometheus) == [("KisBondSecretUnreadable", str(secret))]
    assert any(
        line["event"] == "secret_unreadable" and line["file"] == str(secret)
        for line in map(json.loads, connector.log.read_text().splitlines())
    )
    assert (await connector.ask("/readyz"))[0] == 200


async def firing(prometheus):
    """Return each firing alert with its file label; no rule may have an error."""
    groups = (await prometheus.ask("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == RULES.read_text().count("- alert:")
    assert {rule["health"] for rule in rules} == {"ok"}
    alerts = [alert for rule in rules for alert in rule["alerts"] if alert["state"] == "firing"]
    return [(alert["labels"]["alertname"], alert["labels"].get("file")) for alert in alerts]


def test_every_metric_has_its_place():
    """The dashboard shows every metric of connector and auditor, and asks for no other."""
    asked = {
        re.sub("_bucket$", "", name)
        for panel in PANELS
        for target in panel["targets"]
        for name in names(target["expr"])
    }
    assert asked == {name for name in METRICS if not name.endswith("_")}


def names(expression):
    """Return the names of our metrics in an expression."""
    return re.findall(r"kis_bond_\w+", expression)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_follows_the_variables_and_says_what_it_shows(panel):
    """Every query follows data source, job and instance; every panel has a description."""
    assert panel["description"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        selectors = re.findall(r"(?:kis_bond|process)_\w+(\{[^}]*\})?", target["expr"])
        assert all('job=~"$job", instance=~"$instance"' in selector for selector in selectors)
        assert target["legendFormat"]


def test_panels_do_not_lie_on_one_another():
    """Ids are unique, and no two panels overlap."""
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    places = [
        place
        for panel in every
        for place in itertools.product(
            range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"]),
            range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"]),
        )
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) == 23


def test_the_variables_are_there():
    """Data source, job and instance can be chosen, several or all at once."""
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance"]
    assert all(variables[name]["multi"] and variables[name]["includeAll"] for name in ("job", "instance"))
