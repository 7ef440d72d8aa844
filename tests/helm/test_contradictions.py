"""Values that contradict each other fail at `helm template`, with a sentence for each."""

import pytest

from tests.helm.chart import MONITORING, Refused

GIB = 2**30


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"replicas": 2}, "replicas: 2 pods would open the same app keys"),
        ({"appKeys": {"existingSecret": ""}}, "appKeys: no app key was given"),
        (
            {"appKeys": {"inline": [{"appkey": "PS", "appsecret": "s"}]}},
            "appKeys: existingSecret and inline were both given",
        ),
        ({"journal": {"volume": "emptyDir"}}, "journal.emptyDir.sizeLimit: is needed with journal.volume: emptyDir"),
        (
            {"journal": {"volume": "emptyDir", "emptyDir": {"sizeLimit": "1126Mi"}}},
            "journal.emptyDir.sizeLimit: 1126Mi is less than 1.1 times config.journal.max_bytes (1GiB)",
        ),
        (
            {"journal": {"claim": {"size": "1G"}}},
            "journal.claim.size: 1G is less than 1.1 times config.journal.max_bytes (1GiB)",
        ),
        (
            {"config": {"journal": {"max_bytes": 2 * GIB}}},
            f"journal.claim.size: 2Gi is less than 1.1 times config.journal.max_bytes ({2 * GIB} bytes)",
        ),
        ({"terminationGracePeriodSeconds": 34}, "terminationGracePeriodSeconds: 34 is too short"),
        (
            {"terminationGracePeriodSeconds": 60, "config": {"delivery": {"stop_deadline_seconds": 50.5}}},
            (
                "terminationGracePeriodSeconds: 60 is too short for config.delivery.stop_deadline_seconds, 51: "
                "give at least 66"
            ),
        ),
        (
            {"config": {"http": {"host": "127.0.0.1"}}},
            "config.http.host: probes come from outside the pod and cannot reach 127.0.0.1",
        ),
        (
            {"config": {"http": {"host": "localhost"}}},
            "config.http.host: probes come from outside the pod and cannot reach localhost",
        ),
        (
            {
                "serviceMonitor": {"enabled": True},
                "podMonitor": {"enabled": True},
                "networkPolicy": {"metricsFrom": MONITORING},
            },
            "serviceMonitor and podMonitor: both are enabled",
        ),
        (
            {
                "serviceMonitor": {"enabled": True},
                "service": {"enabled": False},
                "networkPolicy": {"metricsFrom": MONITORING},
            },
            "serviceMonitor: finds its targets through the Service",
        ),
        ({"subscriptions": {"lists": {"desk": {"priority": 7}}}}, "subscriptions.lists.desk: names no instruments"),
        ({"topics": {"init": True, "args": ["--register-schema"]}}, "topics.args: --register-schema needs a registry"),
        (
            {"extraEnv": [{"name": "KIS_BOND_HTTP__PORT", "value": "1"}]},
            "extraEnv: KIS_BOND_HTTP__PORT is a setting of the connector",
        ),
        ({"image": {"repository": ""}}, "image.repository: is needed"),
        ({"fullnameOverride": "kis.bond"}, "the release's objects would be called kis.bond, which Kubernetes refuses"),
        ({"fullnameOverride": "UPPER_case"}, "would be called UPPER_case"),
        ({"fullnameOverride": "2024-prod"}, "would be called 2024-prod"),
        ({"podMonitor": {"enabled": True}}, "networkPolicy.metricsFrom: names nobody"),
        ({"extraEnv": [{"name": "TZ", "value": "UTC"}] * 2}, "extraEnv: TZ stands twice"),
        ({"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}, "extraVolumes: a volume tmp exists already"),
        (
            {"extraVolumeMounts": [{"name": "a", "mountPath": "/tmp/"}]},
            "extraVolumeMounts: something is mounted at /tmp/ already",
        ),
        (
            {"extraContainers": [{"name": "connector", "image": "a"}]},
            "extraContainers: a container connector exists already",
        ),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)
def test_a_contradiction_is_refused_with_a_sentence(chart, values, sentence):
    """Values that do not fit together are refused, with what to change."""
    with pytest.raises(Refused) as refused:
        chart.render("smallest", values)
    lines = str(refused.value).split("These values cannot be used:\n")[1].splitlines()
    assert sentence in lines[0]
    assert lines[1] == "", "something else is wrong, too"


def test_a_release_whose_name_begins_with_a_digit_is_refused(chart):
    """Kubernetes refuses a Service called 2024-…; the refusal says what to set."""
    with pytest.raises(Refused, match="fullnameOverride: the release's objects would be called 2024-prod-kis-bond"):
        chart.render("smallest", release="2024-prod")
    assert chart.render("smallest", {"fullnameOverride": "bonds"}, release="2024-prod")


def test_without_values_it_is_said_what_is_needed(chart):
    """The chart's own values are refused, naming the three that only the operator knows."""
    with pytest.raises(Refused) as refused:
        chart.render(None)
    lines = str(refused.value).split("These values cannot be used:\n")[1].splitlines()
    assert [line.split(": ")[:2] for line in lines[:4]] == [
        ["image.repository", "is needed"],
        ["config.kafka.bootstrap_servers", "is needed"],
        ["appKeys", "no app key was given"],
        [""],
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 2, "config": {"replicas": {"coordination": "group"}}},
        {"replicas": 0},
        {"journal": {"volume": "emptyDir", "emptyDir": {"sizeLimit": "1127Mi"}}},
        {"journal": {"claim": {"size": "1182M"}}},
        {"journal": {"claim": {"size": "1.1Gi"}}},
        {"config": {"journal": {"max_bytes": "16MiB"}}},
        {"config": {"journal": {"max_bytes": str(GIB)}}},
        {"config": {"journal": {"max_bytes": "1 TiB"}}, "journal": {"claim": {"size": "2Ti"}}},
        {"terminationGracePeriodSeconds": 35},
        {"subscriptions": {"lists": {"KR103502GA34": {}, "desk": {"instruments": []}}}},
        {"topics": {"args": ["--register-schema"]}},
        {"extraEnv": [{"name": "TZ", "value": "Asia/Seoul"}]},
    ],
    ids=str,
)
def test_what_goes_together_is_taken(chart, values):
    """Values that just fit together are rendered."""
    assert chart.one("StatefulSet", "smallest", values)


def test_all_contradictions_are_told_at_once(chart):
    """One refusal names every contradiction."""
    values = {
        "replicas": 2,
        "appKeys": {"existingSecret": ""},
        "journal": {"volume": "emptyDir"},
        "terminationGracePeriodSeconds": 1,
    }
    with pytest.raises(Refused) as refused:
        chart.render("smallest", values)
    for start in ("replicas: ", "appKeys: ", "journal.emptyDir.sizeLimit: ", "terminationGracePeriodSeconds: "):
        assert f"\n{start}" in str(refused.value)
