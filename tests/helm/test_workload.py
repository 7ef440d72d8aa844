"""The StatefulSet: pods, probes, journal, placement."""

import re
from pathlib import Path

import pytest
import yaml

from tests.helm.chart import ROOT, pods, settings_of

JOURNAL = "/var/lib/kis-bond/journal/journal"


def workload(chart, file="smallest", values=None):
    """Return the StatefulSet's spec."""
    return chart.one("StatefulSet", file, values)["spec"]


def pod(chart, file="smallest", values=None):
    """Return the spec of its pods."""
    return workload(chart, file, values)["template"]["spec"]


def connector(chart, file="smallest", values=None):
    """Return the pod's only container."""
    (container,) = pod(chart, file, values)["containers"]
    return container


def test_pods_do_not_wait_for_one_another(chart):
    """Pods start and end in parallel, as many as the values ask for."""
    assert workload(chart)["podManagementPolicy"] == "Parallel"
    assert [workload(chart, file)["replicas"] for file in ("smallest", "production", "placement")] == [1, 2, 3]


def test_the_process_is_the_connector_itself(chart):
    """The container runs `kis-bond run` without a shell, so that SIGTERM reaches it."""
    container = connector(chart)
    assert (container["command"], container["args"]) == (["kis-bond"], ["run"])
    assert "lifecycle" not in container


def test_the_replica_is_named_after_its_pod(chart):
    """The owner in slot records is the pod's name."""
    (name,) = [each for each in connector(chart)["env"] if each["name"] == "KIS_BOND_REPLICAS__NAME"]
    assert name["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_the_environment_agrees_with_the_settings(chart):
    """The environment holds only the replica's name, the journal and the settings file's path."""
    for file in ("smallest", "placement"):
        given = {
            each["name"]: each.get("value")
            for each in connector(chart, file)["env"]
            if each["name"].startswith("KIS_BOND_")
        }
        settings = yaml.safe_load(settings_of(chart.render(file)))
        assert "path" not in settings["journal"]
        assert given == {
            "KIS_BOND_CONFIG": "/etc/kis-bond/config/kis-bond.yaml",
            "KIS_BOND_REPLICAS__NAME": None,
            "KIS_BOND_HTTP__HOST": settings["http"]["host"],
            "KIS_BOND_JOURNAL__PATH": JOURNAL,
        }


def test_the_image_overrides_no_setting(chart):
    """Every pod sets what the image's environment sets, so no journal lands beside its volume."""
    of_the_image = set(re.findall(r"\bKIS_BOND_[A-Z_]+(?==)", (ROOT / "Dockerfile").read_text()))
    assert "KIS_BOND_JOURNAL__PATH" in of_the_image
    for name, spec in pods(chart.render("first-try")):
        assert of_the_image <= {each["name"] for each in spec["containers"][0]["env"]}, name


def test_the_bond_master_is_kept_on_the_journals_volume(chart):
    """The cache is on the volume, where `bonds update` may write, unless the values differ."""
    (mount,) = [each for each in connector(chart)["volumeMounts"] if each["name"] == "journal"]
    assert {"name": "XDG_CACHE_HOME", "value": f"{mount['mountPath']}/.cache"} in connector(chart)["env"]
    own = {"name": "XDG_CACHE_HOME", "value": "/tmp/cache"}
    env = connector(chart, values={"extraEnv": [own]})["env"]
    assert [each for each in env if each["name"] == own["name"]] == [own]


def test_settings_are_mounted_as_a_folder(chart):
    """The ConfigMap's folder is mounted where KIS_BOND_CONFIG points."""
    (volume,) = [each for each in pod(chart)["volumes"] if each["name"] == "config"]
    assert volume["configMap"] == {"name": chart.one("ConfigMap", "smallest")["metadata"]["name"]}
    (mount,) = [each for each in connector(chart)["volumeMounts"] if each["name"] == "config"]
    assert mount == {"name": "config", "mountPath": "/etc/kis-bond/config", "readOnly": True}


def test_a_changed_setting_rolls_the_pods(chart):
    """The checksum changes with every setting and nothing else; app keys roll no pod."""

    def checksum(values=None):
        return workload(chart, "first-try", values)["template"]["metadata"]["annotations"]["checksum/config"]

    assert len(checksum()) == 64
    assert checksum({"config": {"log": {"level": "debug"}}}) != checksum({"config": {"log": {"level": "error"}}})
    assert checksum({"appKeys": {"inline": [{"appkey": "other", "appsecret": "other"}]}}) == checksum()
    assert checksum({"replicas": 0}) == checksum()


def test_a_new_chart_alone_rolls_no_pod(chart):
    """Pod labels hold no version, so an upgrade without changes drops no feed."""
    assert workload(chart)["template"]["metadata"]["labels"].keys() == {
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/component",
    }


def test_the_selector_finds_the_connectors_pods_alone(chart):
    """The StatefulSet selects its own pods, and no pod of a job or the test."""
    objects = chart.render("first-try")
    wanted = workload(chart, "first-try")["selector"]["matchLabels"]
    fitting = []
    for each in objects:
        template = each if each["kind"] == "Pod" else each.get("spec", {}).get("template")
        if template and wanted.items() <= template["metadata"]["labels"].items():
            fitting.append(each["kind"])
    assert fitting == ["StatefulSet"]
    assert len(list(pods(objects))) == 4


@pytest.mark.parametrize(
    ("probe", "path"), [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
)
def test_probes_ask_the_right_endpoint(chart, probe, path):
    """Startup and liveness ask /livez, readiness asks /readyz, on the configured port."""
    container = connector(chart, values={"config": {"http": {"port": 9100}}})
    assert container[probe]["httpGet"] == {"path": path, "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 9100}]
    assert "port: 9100" in settings_of(chart.render("smallest", {"config": {"http": {"port": 9100}}}))


def test_probes_are_patient(chart):
    """A start may take three minutes; unreadiness shows within 15 s."""
    container = connector(chart)
    patience = {
        name: container[name]["periodSeconds"] * container[name]["failureThreshold"]
        for name in ("startupProbe", "readinessProbe")
    }
    assert patience == {"startupProbe": 180, "readinessProbe": 15}
    assert all(container[name]["timeoutSeconds"] == 5 for name in patience)


def test_a_stopped_process_is_noticed_soon(chart):
    """A stall shows within 20 s, though it begins just after a probe; the kill follows in 5 s."""
    probe = connector(chart)["livenessProbe"]
    assert probe["periodSeconds"] >= probe["timeoutSeconds"]
    assert probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"] <= 20
    assert probe["terminationGracePeriodSeconds"] == 5
    assert connector(chart, "placement")["livenessProbe"]["terminationGracePeriodSeconds"] == 10


def test_probe_times_are_values(chart):
    """Each probe's times can be set; an omitted one keeps its default."""
    container = connector(chart, "placement")
    assert container["startupProbe"] | {"httpGet": 0} == {
        "httpGet": 0,
        "periodSeconds": 2,
        "timeoutSeconds": 5,
        "failureThreshold": 30,
    }
    assert container["livenessProbe"]["initialDelaySeconds"] == 5
    assert container["readinessProbe"]["timeoutSeconds"] == 3


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({}, 45),
        ({"config": {"delivery": {"stop_deadline_seconds": 60}}}, 85),
        ({"config": {"delivery": {"stop_deadline_seconds": 0.5}}}, 26),
        ({"terminationGracePeriodSeconds": 120}, 120),
    ],
)
def test_the_grace_is_longer_than_the_drain_deadline(chart, values, seconds):
    """The grace period is the drain deadline plus 25 s, or as given."""
    assert pod(chart, values=values)["terminationGracePeriodSeconds"] == seconds


def test_the_journal_is_on_a_claim_of_the_pods_own(chart):
    """By default each pod has a claim that outlives the pod and the StatefulSet."""
    spec = workload(chart)
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "journal"
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert "journal" not in [volume["name"] for volume in pod(chart)["volumes"]]


def test_claims_follow_the_values(chart):
    """Storage class, access modes, annotations and retention come from the values."""
    (claim,) = workload(chart, "production")["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast-ssd"
    assert claim["spec"]["resources"] == {"requests": {"storage": "10Gi"}}
    spec = workload(chart, "placement")
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert claim["metadata"]["annotations"] == {"example.com/backup": "never"}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Delete", "whenScaled": "Delete"}


def test_the_journal_may_be_on_an_emptydir(chart):
    """If asked for, the journal is on an emptyDir with a size limit, without a claim."""
    spec = workload(chart, "first-try")
    assert "volumeClaimTemplates" not in spec
    assert "persistentVolumeClaimRetentionPolicy" not in spec
    (volume,) = [each for each in spec["template"]["spec"]["volumes"] if each["name"] == "journal"]
    assert volume["emptyDir"] == {"sizeLimit": "288Mi"}


@pytest.mark.parametrize("file", ["smallest", "first-try"])
def test_the_journal_lies_in_a_folder_of_its_own(chart, file):
    """The journal's folder is below the volume's root, so that the connector makes it private."""
    (mount,) = [each for each in connector(chart, file)["volumeMounts"] if each["name"] == "journal"]
    assert mount == {"name": "journal", "mountPath": str(Path(JOURNAL).parents[1])}
    assert {"name": "KIS_BOND_JOURNAL__PATH", "value": JOURNAL} in connector(chart, file)["env"]


def test_a_lost_node_is_given_up_soon(chart):
    """Pods leave an unreachable node after 30 s or as given; other tolerations are added."""

    def tolerated(spec):
        return {each["key"].split("/")[-1]: each.get("tolerationSeconds") for each in spec["tolerations"]}

    assert tolerated(pod(chart)) == {"not-ready": 30, "unreachable": 30}
    assert tolerated(pod(chart, "placement")) == {"not-ready": 20, "unreachable": 20, "dedicated": None}
    assert all(each["effect"] == "NoExecute" for each in pod(chart)["tolerations"])


def test_pods_are_spread(chart):
    """Pods are spread over zones and nodes, unless the values turn that off."""
    spec = workload(chart)
    constraints = spec["template"]["spec"]["topologySpreadConstraints"]
    assert [(each["topologyKey"], each["whenUnsatisfiable"], each["maxSkew"]) for each in constraints] == [
        ("topology.kubernetes.io/zone", "ScheduleAnyway", 1),
        ("kubernetes.io/hostname", "ScheduleAnyway", 1),
    ]
    assert all(each["labelSelector"] == spec["selector"] for each in constraints)
    assert "topologySpreadConstraints" not in pod(chart, "bare")


def test_placement_follows_the_values(chart):
    """Selectors, affinity, priority, account, labels and pull secrets come from the values."""
    spec = pod(chart, "placement")
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert "podAntiAffinity" in spec["affinity"]
    assert spec["priorityClassName"] == "system-cluster-critical"
    assert spec["serviceAccountName"] == "connectors"
    metadata = workload(chart, "placement")["template"]["metadata"]
    assert metadata["labels"].items() >= {"cost-centre": "4711", "team": "markets"}.items()
    assert metadata["annotations"]["example.com/owner"] == "markets"
    assert pod(chart, "production")["imagePullSecrets"] == [{"name": "registry"}]


def test_everything_can_be_added_to_pods(chart):
    """Host names, DNS, init containers and variables' sources reach all pods, side-cars one."""
    for name, spec in pods(chart.render("proxied")):
        assert spec["hostAliases"] == [{"ip": "10.0.0.7", "hostnames": ["kafka-1.example.com"]}], name
        assert (spec["dnsPolicy"], spec["dnsConfig"]["options"][0]["name"]) == ("ClusterFirst", "ndots"), name
        assert [each["name"] for each in spec["initContainers"]] == ["proxy"], name
        assert spec["containers"][0]["envFrom"][0] == {"secretRef": {"name": "proxy"}}, name
        assert (len(spec["containers"]) == 2) is name.startswith("StatefulSet"), name


def test_the_update_follows_the_values(chart):
    """Update strategy, readiness time and annotations of the StatefulSet come from the values."""
    spec = workload(chart, "proxied")
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    assert (workload(chart)["updateStrategy"], workload(chart)["minReadySeconds"]) == ({"type": "RollingUpdate"}, 0)
    assert spec["minReadySeconds"] == 10
    metadata = chart.one("StatefulSet", "proxied")["metadata"]
    assert metadata["annotations"] == {"reloader.example.com/auto": "true"}
    assert len(spec["template"]["metadata"]["annotations"]["checksum/config"]) == 64


def test_an_account_can_be_created(chart):
    """Every pod has the created account except that of topics, which may run before it exists."""
    account = chart.one("ServiceAccount", "proxied")
    assert account["automountServiceAccountToken"] is False
    assert account["metadata"]["annotations"] == {"example.com/role": "connector"}
    used = {spec["containers"][0]["name"]: spec.get("serviceAccountName") for _, spec in pods(chart.render("proxied"))}
    created = account["metadata"]["name"]
    assert used == {"connector": created, "check": created, "subscriptions": created, "topics": None}
    made_before = {"serviceAccount": {"create": False, "name": "bonds"}}
    assert {spec["serviceAccountName"] for _, spec in pods(chart.render("proxied", made_before))} == {"bonds"}


def test_a_parent_chart_names_the_registry(chart):
    """As a dependency, the chart takes the registry and its Secrets from `global`."""
    for name, spec in pods(chart.render("sub-chart")):
        assert spec["containers"][0]["image"] == "registry.example.com/markets/kis-bond-connector:0.1.0", name
        assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}], name
    own = {"image": {"registry": "other.example.com"}}
    assert connector(chart, "sub-chart", own)["image"].startswith("registry.example.com/markets/")


def test_labels_of_the_values_do_not_break_the_selector(chart):
    """A label from the values cannot replace one of the chart's own."""
    values = {"podLabels": {"app.kubernetes.io/component": "mine"}, "commonLabels": {"app.kubernetes.io/name": "mine"}}
    spec = workload(chart, values=values)
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_environment_and_volumes_can_be_added(chart):
    """Extra variables, volumes and mounts reach every pod, since jobs need the same password."""
    for name, spec in pods(chart.render("production")):
        assert "kafka" in [volume["name"] for volume in spec["volumes"]], name
        assert "/etc/kis-bond/kafka" in [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]], name
    for name, spec in pods(chart.render("placement")):
        assert {"TZ", "NODE"} <= {variable["name"] for variable in spec["containers"][0]["env"]}, name


@pytest.mark.parametrize("file", ["first-try", "production", "placement"])
def test_every_mount_has_its_volume(chart, file):
    """Each mount of each pod names a volume of that pod or a claim."""
    for name, spec in pods(chart.render(file)):
        volumes = {volume["name"] for volume in spec["volumes"]}
        if name.startswith("StatefulSet"):
            volumes |= {claim["metadata"]["name"] for claim in workload(chart, file).get("volumeClaimTemplates", [])}
        assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == volumes, name


def test_drains_take_one_pod_at_a_time(chart):
    """The disruption budget covers the connector's pods; an unready one blocks no drain."""
    budget = chart.one("PodDisruptionBudget", "production")["spec"]
    assert budget == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": workload(chart, "production")["selector"],
    }
    assert chart.one("PodDisruptionBudget", "placement")["spec"]["maxUnavailable"] == "34%"
