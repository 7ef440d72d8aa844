"""Who may talk to whom, and how Prometheus finds the metrics."""

import json
import re

import jsonschema
import yaml

from tests.helm.chart import CHART, MONITORING, RELEASE, pods
from tests.helm.conftest import ALERTS, DASHBOARD

NAME = "bond-kis-bond-connector"


def policy(chart, file="smallest", values=None):
    """Return the NetworkPolicy's rules."""
    return chart.one("NetworkPolicy", file, values)["spec"]


def ports(rule):
    """Return a rule's ports and protocols."""
    return [(each["port"], each["protocol"]) for each in rule["ports"]]


def test_everything_else_is_closed(chart):
    """The policy covers every pod of the release in both directions."""
    spec = policy(chart, "first-try")
    assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
    wanted = spec["podSelector"]["matchLabels"]
    covered = 0
    for each in chart.render("first-try"):
        template = each if each["kind"] == "Pod" else each.get("spec", {}).get("template")
        if template:
            assert wanted.items() <= template["metadata"]["labels"].items(), each["kind"]
            covered += 1
    assert covered == len(list(pods(chart.render("first-try")))) == 4


def test_what_goes_out_by_default(chart):
    """By default only DNS, Kafka's port and KIS's 9443 and 21000 are open outwards."""
    assert [ports(rule) for rule in policy(chart)["egress"]] == [
        [(53, "UDP"), (53, "TCP")],
        [(9092, "TCP")],
        [(9443, "TCP"), (21000, "TCP")],
    ]


def test_what_goes_out_follows_the_settings(chart):
    """Ports come from the brokers' list and the URLs, each once; peers come from the values."""
    dns, kafka, registry, kis = policy(chart, "production")["egress"]
    assert dns["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]
    assert ports(kafka) == [(9093, "TCP"), (9094, "TCP")]
    assert kafka["to"] == [{"ipBlock": {"cidr": "10.20.0.0/24"}}]
    assert (ports(registry), registry["to"]) == ([(443, "TCP")], [{"ipBlock": {"cidr": "10.20.1.0/24"}}])
    assert (ports(kis), kis["to"]) == ([(9443, "TCP"), (21000, "TCP")], [{"ipBlock": {"cidr": "203.0.113.0/24"}}])


def test_ports_of_urls(chart):
    """A URL's port is the one it names, else its scheme's default."""
    for url, port in (
        ("http://registry", 80),
        ("https://registry/a:b", 443),
        ("http://registry:8081/apis/ccompat/v7", 8081),
        ("https://[fd00::1]:8443", 8443),
    ):
        assert ports(policy(chart, values={"config": {"registry": {"url": url}}})["egress"][2]) == [(port, "TCP")], url
    urls = {"approval_url": "https://kis.example/oauth2/Approval", "websocket_url": "wss://kis.example:22000"}
    assert ports(policy(chart, values={"config": {"kis": urls}})["egress"][2]) == [(443, "TCP"), (22000, "TCP")]


def test_ports_of_proxy_registries_and_logins(chart):
    """Behind a proxy, KIS has no rule of its own; every registry and login has one."""
    _, kafka, registry, kis, logins = policy(chart, "with-tokens")["egress"]
    assert [ports(rule) for rule in (kafka, registry, kis, logins)] == [
        [(9093, "TCP")],
        [(443, "TCP")],
        [(3128, "TCP")],
        [(443, "TCP")],
    ]
    urls = {"config": {"registry": {"url": "https://a:8443,http://b"}}}
    assert ports(policy(chart, values=urls)["egress"][2]) == [(8443, "TCP"), (80, "TCP")]
    assert ports(policy(chart, "with-kerberos")["egress"][-1]) == [(88, "TCP")]
    assert ports(policy(chart, "with-msk")["egress"][-1]) == [(443, "TCP")]
    jobs = {"jobs": {"kafka": {"sasl_mechanism": "OAUTHBEARER", "oauth_token_url": "https://sso:8443/token"}}}
    assert ports(policy(chart, "with-kerberos", jobs)["egress"][-1]) == [(88, "TCP"), (8443, "TCP")]


def test_ports_can_be_given(chart):
    """Ports of the values replace those of the settings, since brokers may advertise others."""
    given = {
        "networkPolicy": {"kafka": {"ports": [9092, 9095]}, "kis": {"ports": [443]}, "registry": {"ports": [8081]}}
    }
    assert [ports(rule) for rule in policy(chart, values=given)["egress"][1:]] == [
        [(9092, "TCP"), (9095, "TCP")],
        [(8081, "TCP")],
        [(443, "TCP")],
    ]


def test_only_the_endpoints_can_be_reached(chart):
    """Only the endpoints are open inwards, to the peers that the values name, else to nobody."""
    (rule,) = policy(chart, "production")["ingress"]
    assert (ports(rule), rule["from"]) == ([(8080, "TCP")], MONITORING)
    assert policy(chart)["ingress"] == []


def test_rules_can_be_added(chart):
    """Extra rules are added to the chart's own."""
    spec = policy(chart, "placement")
    assert spec["ingress"][-1] == {"from": [{"podSelector": {"matchLabels": {"app": "curl"}}}]}
    assert ports(spec["egress"][-1]) == [(4317, "TCP")]
    assert ports(spec["ingress"][0]) == [(9100, "TCP")]


def test_metrics_can_be_read_when_a_pod_is_not_ready(chart):
    """The headless Service of the StatefulSet also names pods that are not ready."""
    service = chart.one("Service", "smallest")
    workload = chart.one("StatefulSet", "smallest")["spec"]
    assert service["spec"] == {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": workload["selector"]["matchLabels"],
        "ports": [{"name": "http", "port": 8080, "targetPort": "http"}],
    }
    assert service["metadata"]["name"] == workload["serviceName"]


def test_the_service_monitor_finds_the_service(chart):
    """The ServiceMonitor selects the Service and its port; the job label names the release."""
    monitor, service = chart.one("ServiceMonitor", "production"), chart.one("Service", "production")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == RELEASE
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {
        "port": service["spec"]["ports"][0]["name"],
        "path": "/metrics",
        "interval": "15s",
        "scrapeTimeout": "10s",
    }
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_pod_monitor_finds_the_pods(chart):
    """The PodMonitor selects the connector's pods and port, with its relabelings."""
    monitor, workload = chart.one("PodMonitor", "bare"), chart.one("StatefulSet", "bare")["spec"]["template"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= workload["metadata"]["labels"].items()
    assert workload["metadata"]["labels"][monitor["spec"]["jobLabel"]] == RELEASE
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == workload["spec"]["containers"][0]["ports"][0]["name"]
    assert (endpoint["interval"], endpoint["relabelings"][0]["targetLabel"]) == ("30s", "node")
    assert endpoint["metricRelabelings"][0]["action"] == "drop"


def test_alerts_are_those_of_the_file(chart_with_files, crds):
    """The PrometheusRule holds the rules file unchanged, and the operator accepts it."""
    values = {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}}
    rule = chart_with_files.one("PrometheusRule", "smallest", values)
    assert rule["spec"] == yaml.safe_load(ALERTS)
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    jsonschema.validate(rule, crds["PrometheusRule"])


def test_alerts_link_to_the_runbook_where_the_reader_has_it(chart):
    """With a runbook URL each alert links to its section there; the rest is unchanged."""
    url = "https://git.example.com/kis-bond-connector/blob/main/docs/runbook.md"
    groups = chart.one("PrometheusRule", "observed", {"prometheusRule": {"runbookUrl": url}})["spec"]["groups"]
    links = [rule["annotations"].pop("runbook_url") for group in groups for rule in group["rules"]]
    own = chart.one("PrometheusRule", "observed")["spec"]["groups"]
    assert links == [
        url + rule["annotations"].pop("runbook_url").removeprefix("docs/runbook.md")
        for group in own
        for rule in group["rules"]
    ]
    assert all(re.fullmatch(re.escape(url) + r"#kisbond\w+", link) for link in links)
    assert groups == own


def test_the_dashboard_is_the_file(chart_with_files):
    """The ConfigMap holds the dashboard's JSON file unchanged, with the sidecar's label."""
    values = {"dashboard": {"enabled": True, "annotations": {"grafana_folder": "Markets"}}}
    dashboard = chart_with_files.one("ConfigMap", "smallest", values, f"{NAME}-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboard["metadata"]["annotations"] == {"grafana_folder": "Markets"}
    assert json.loads(dashboard["data"]["kis-bond-connector.json"]) == json.loads(DASHBOARD)


def test_the_charts_own_alerts_and_dashboard(chart):
    """The chart carries the alerts and dashboard that are tested on a real Prometheus."""
    rule = chart.one("PrometheusRule", "observed")
    assert rule["spec"] == yaml.safe_load((CHART / "rules" / "kis-bond-connector.yaml").read_text())
    dashboard = chart.one("ConfigMap", "observed", name=f"{NAME}-dashboard")["data"]["kis-bond-connector.json"]
    assert json.loads(dashboard) == json.loads((CHART / "dashboards" / "kis-bond-connector.json").read_text())
