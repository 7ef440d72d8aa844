"""The auditor, a Deployment by choice."""

from tests.helm.chart import settings_of

NAME = "bond-kis-bond-connector-audit"


def auditor(chart, file="every-setting", values=None):
    """Return the pod spec of the auditor."""
    (found,) = [
        each for each in chart.render(file, values) if each["metadata"]["name"] == NAME and each["kind"] == "Deployment"
    ]
    return found["spec"]


def test_there_is_none_unless_asked_for(chart):
    """Without audit.enabled, no object of the auditor is rendered."""
    assert [each for each in chart.render("smallest") if "audit" in each["metadata"]["name"]] == []


def test_it_runs_the_auditor_with_the_connectors_settings(chart):
    """The container runs `kis-bond audit` on the same settings file, on its own port."""
    spec = auditor(chart)
    (container,) = spec["template"]["spec"]["containers"]
    assert (container["command"], container["args"], spec["replicas"]) == (["kis-bond"], ["audit"], 2)
    assert container["ports"] == [{"name": "http", "containerPort": 8091}]
    assert "http_port: 8091" in settings_of(chart.render("every-setting"))
    assert {probe: container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe", "startupProbe")} == {
        "livenessProbe": {"path": "/livez", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
        "startupProbe": {"path": "/livez", "port": "http"},
    }


def test_app_keys_are_mounted_only_for_rest(chart):
    """With audit.rest the app keys are mounted and named; without, the pod has no secret."""
    pod = auditor(chart)["template"]["spec"]
    environment = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert environment["KIS_BOND_AUDIT__CREDENTIALS_DIR"] == "/etc/kis-bond/app-keys"
    assert environment["KIS_BOND_AUDIT__TOKEN_PATH"] == "/var/lib/kis-bond/token.json"
    assert {"app-keys", "token"} <= {each["name"] for each in pod["volumes"]}
    without = auditor(chart, "observed")["template"]["spec"]
    assert not [each for each in without["containers"][0]["env"] if "AUDIT" in each["name"]]
    assert {each["name"] for each in without["volumes"]} == {"config", "tmp"}


def test_its_pods_are_no_connectors(chart):
    """The auditor's labels differ from the connector's, so that no Service or budget counts it."""
    spec = auditor(chart)
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert labels["app.kubernetes.io/component"] == "auditor"


def test_its_metrics_are_scraped(chart):
    """Where monitoring is on, the auditor has a PodMonitor of its own, and its port is open."""
    monitors = [each for each in chart.render("observed") if each["kind"] == "PodMonitor"]
    assert [each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] for each in monitors] == ["auditor"]
    (rule,) = chart.one("NetworkPolicy", "observed", {"config": {"audit": {"http_port": 8091}}})["spec"]["ingress"]
    assert [each["port"] for each in rule["ports"]] == [8080, 8091]
