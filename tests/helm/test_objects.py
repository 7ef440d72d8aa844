"""Kubernetes and the Prometheus operator accept every rendered object."""

import copy
import json
import shutil
from functools import cache

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.helm.chart import CHART, CI, KUBERNETES_VERSIONS, MONITORING, NAMESPACE, RELEASE

EVERY_KIND = {
    "ConfigMap",
    "Deployment",
    "Job",
    "NetworkPolicy",
    "Pod",
    "PodDisruptionBudget",
    "PodMonitor",
    "PrometheusRule",
    "Secret",
    "Service",
    "ServiceAccount",
    "ServiceMonitor",
    "StatefulSet",
}


def validate(each, crds, kubernetes=KUBERNETES_VERSIONS[0]):
    """Raise unless an object fits its kind's schema."""
    if each["kind"] in crds:
        jsonschema.validate(each, crds[each["kind"]])
    else:
        _validate(json.dumps(each), kubernetes)


@cache
def _validate(text, kubernetes):
    kubernetes_validate.validate(json.loads(text), kubernetes, strict=True)


def test_there_are_enough_values_files():
    """`ci/` has at least eight values files."""
    assert len(CI) >= 8


@pytest.mark.parametrize("file", [None, *CI])
def test_lint_is_content(chart, file):
    """`helm lint --strict` accepts the chart alone and with each values file."""
    chart.lint(file)


@pytest.mark.parametrize("kubernetes", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("file", CI)
def test_objects_are_valid(chart, crds, file, kubernetes):
    """Each object fits its kind's schema in the oldest and newest Kubernetes version."""
    for each in chart.render(file, kubernetes=kubernetes):
        validate(each, crds, kubernetes)


@pytest.mark.parametrize("kubernetes", KUBERNETES_VERSIONS)
def test_the_broker_for_a_try_is_valid(kubernetes):
    """The one-broker manifest of the installation page fits Kubernetes' schemas."""
    kinds = []
    for each in yaml.safe_load_all((CHART.parent / "kafka-for-a-try.yaml").read_text()):
        _validate(json.dumps(each), kubernetes)
        kinds.append(each["kind"])
    assert kinds == ["Namespace", "Service", "Deployment"]


def test_validation_bites(chart, crds):
    """A misspelt field is refused, in a Kubernetes object and in one of the operator."""
    workload = copy.deepcopy(chart.one("StatefulSet", "smallest"))
    workload["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(jsonschema.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(workload, KUBERNETES_VERSIONS[0], strict=True)
    monitor = copy.deepcopy(chart.one("PodMonitor", "bare"))
    monitor["spec"]["podMetricsEndpoints"][0]["intervall"] = "1s"
    with pytest.raises(jsonschema.ValidationError, match="intervall"):
        jsonschema.validate(monitor, crds["PodMonitor"])


def test_every_kind_is_rendered_somewhere(chart):
    """Together the values files render every kind of the chart, so all are checked."""
    assert {kind for file in CI for kind in chart.kinds(file)} == EVERY_KIND


@pytest.mark.parametrize("file", CI)
def test_names_are_unique_and_labelled(chart, file):
    """Kind and name are unique, and all but extra objects have release and version labels."""
    objects = [
        each for each in chart.render(file) if each["metadata"]["name"] not in {"kis-simulator", f"{RELEASE}-more"}
    ]
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    for each in objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert each["kind"] == "Pod" or labels["helm.sh/chart"].startswith("kis-bond-connector-")
        assert each["metadata"].get("namespace", NAMESPACE) == NAMESPACE


def test_long_names_stay_within_kubernetes_limits(chart):
    """The longest release name, 53 characters, gives names of at most 63."""
    for each in chart.render("first-try", {"fullnameOverride": "x" * 63, "nameOverride": "y" * 80}):
        assert len(each["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in each["metadata"]["labels"].values())


@pytest.mark.parametrize("name", ["2024", "true", "0x1f"])
@pytest.mark.parametrize("file", ["first-try", "production", "bare"])
def test_a_name_may_look_like_a_number(chart, crds, file, name):
    """A name that YAML would read as another type stays text everywhere."""
    overrides = dict.fromkeys(("nameOverride", "priorityClassName"), name) | {"serviceAccount": {"name": name}}
    secret = {} if file == "first-try" else {"appKeys": {"existingSecret": name}}
    more = overrides | secret | {"dashboard": {"enabled": True}, "prometheusRule": {"enabled": True}}
    for values in ({"fullnameOverride": "bonds"}, more | {"fullnameOverride": "true"}):
        for each in chart.render(file, values, release=name):
            assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == name
            assert isinstance(each["metadata"]["name"], str)
            validate(each, crds)


@pytest.mark.parametrize(
    ("section", "kind", "name"),
    [
        ("podDisruptionBudget", "PodDisruptionBudget", "bond-kis-bond-connector"),
        ("networkPolicy", "NetworkPolicy", "bond-kis-bond-connector"),
        ("service", "Service", "bond-kis-bond-connector"),
        ("serviceMonitor", "ServiceMonitor", "bond-kis-bond-connector"),
        ("podMonitor", "PodMonitor", "bond-kis-bond-connector"),
        ("prometheusRule", "PrometheusRule", "bond-kis-bond-connector"),
        ("dashboard", "ConfigMap", "bond-kis-bond-connector-dashboard"),
    ],
)
def test_each_extra_is_on_or_off_by_value(chart_with_files, section, kind, name):
    """An extra object exists with `enabled: true` and does not with `enabled: false`."""
    for enabled in (True, False):
        values = {"networkPolicy": {"metricsFrom": MONITORING}}
        values[section] = values.get(section, {}) | {"enabled": enabled}
        objects = chart_with_files.render("smallest", values)
        found = {(each["kind"], each["metadata"]["name"]) for each in objects}
        assert ((kind, name) in found) is enabled


@pytest.mark.parametrize("enabled", [True, False])
def test_the_chart_can_be_a_conditional_dependency(chart, tmp_path, enabled):
    """A parent chart switches the chart on and off with a condition on one of its values."""
    shutil.copytree(CHART, tmp_path / "charts" / "kis-bond-connector")
    dependency = {"name": "kis-bond-connector", "version": "*", "condition": "kis-bond-connector.enabled"}
    about = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(about))
    values = yaml.safe_load((CHART / "ci" / "smallest.yaml").read_text()) | {"enabled": enabled}
    parent = type(chart)(chart.helm, tmp_path)
    objects = parent.render(None, {"kis-bond-connector": values, "global": {"imageRegistry": "mirror.example.com"}})
    assert ("StatefulSet" in {each["kind"] for each in objects}) is enabled


def test_a_render_is_repeatable(chart):
    """The same values give the same objects, so that Argo CD sees no difference."""
    for file in ("production", "proxied"):
        other = type(chart)(chart.helm)
        assert other.render(file) == chart.render(file)


def test_extra_objects_are_templates(chart):
    """Any object can be added, and its texts may use template functions."""
    more = chart.one("ConfigMap", "placement", name=f"{RELEASE}-more")
    assert more["data"] == {"pods": "3"}
