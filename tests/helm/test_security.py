"""Every pod fits Pod Security's profile "restricted" and holds no right that it does not need."""

import pytest

from tests.helm.chart import CI, pods, settings_of

# The kinds of volumes "restricted" allows, of those there are.
ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


@pytest.fixture(params=CI)
def all_pods(chart, request):
    """Give name and spec of every pod of one values file, including jobs and the test."""
    found = dict(pods(chart.render(request.param)))
    assert len(found) >= 2
    return found


def test_pods_are_restricted(all_pods):
    """Pods are non-root, with seccomp, without capabilities, escalation or host access."""
    for name, spec in all_pods.items():
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security.get("runAsUser") != 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert "sysctls" not in security
        for volume in spec.get("volumes", []):
            assert volume.keys() - {"name"} <= ALLOWED_VOLUMES, (name, volume)
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert own["readOnlyRootFilesystem"] is True, name
            assert own.keys() <= {"allowPrivilegeEscalation", "capabilities", "readOnlyRootFilesystem", "runAsNonRoot"}
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_the_user_is_numeric(chart):
    """User and group are 65532 by default, and so is the volumes' group."""
    for name, spec in pods(chart.render("first-try")):
        assert [spec["securityContext"][part] for part in ("runAsUser", "runAsGroup", "fsGroup")] == [65532] * 3, name


def test_a_start_does_not_open_the_journal_to_the_group(chart):
    """A start changes no file modes, which would open the private folder to the group."""
    assert (
        chart.one("StatefulSet", "smallest")["spec"]["template"]["spec"]["securityContext"]["fsGroupChangePolicy"]
        == "OnRootMismatch"
    )


def test_a_cluster_may_assign_the_user(chart):
    """With user and group null none is named, and the pod still may not be root."""
    security = chart.one("StatefulSet", "assigned-user")["spec"]["template"]["spec"]["securityContext"]
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & security.keys()
    assert security["runAsNonRoot"] is True


def test_kubernetes_gives_nothing(all_pods):
    """No pod gets a Kubernetes token or the variables of services."""
    for name, spec in all_pods.items():
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name


def test_resources_are_bounded(all_pods):
    """Each container has requests and a memory limit."""
    for name, spec in all_pods.items():
        for container in spec["containers"]:
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


def test_resources_are_those_measured(chart):
    """Memory holds the measured peak of 100 MiB and 64 MiB of frames; the CPU has no limit."""
    container = chart.one("StatefulSet", "smallest")["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"] == {
        "requests": {"cpu": "250m", "memory": "256Mi"},
        "limits": {"memory": "512Mi"},
    }


def test_writable_places_are_bounded(all_pods):
    """Every emptyDir has a size limit."""
    for name, spec in all_pods.items():
        for volume in spec.get("volumes", []):
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], (name, volume)


def test_app_keys_are_a_folder_of_files(chart):
    """App keys are a read-only folder without subPath, and only its group can read them."""
    for file, secret in (("smallest", "kis-app-keys"), ("first-try", "bond-kis-bond-connector-app-keys")):
        spec = chart.one("StatefulSet", file)["spec"]["template"]["spec"]
        (volume,) = [each for each in spec["volumes"] if each["name"] == "app-keys"]
        assert volume["secret"] == {"secretName": secret, "defaultMode": 0o440}
        (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "app-keys"]
        assert mount == {"name": "app-keys", "mountPath": "/etc/kis-bond/app-keys", "readOnly": True}
        assert "credentials_dir: /etc/kis-bond/app-keys\n" in settings_of(chart.render(file))


def test_inline_app_keys_are_numbered(chart):
    """Pairs of the values become a Secret with numbered files; without them there is no Secret."""
    values = {"appKeys": {"inline": [{"appkey": "one", "appsecret": "1="}, {"appkey": "two", "appsecret": "0123"}]}}
    secret = chart.one("Secret", "first-try", values)
    assert secret["stringData"] == {"appkey-0": "one", "appsecret-0": "1=", "appkey-1": "two", "appsecret-1": "0123"}
    assert "Secret" not in chart.kinds("smallest")


def test_app_keys_are_in_nothing_but_their_secret(chart):
    """No other object and no variable holds an app key."""
    for each in chart.render("first-try"):
        assert each["kind"] == "Secret" or "PSnotARealAppKey" not in str(each)


def test_only_what_needs_them_has_the_app_keys(chart):
    """The lists' job never mounts app keys; the topics' job does only to count shared slots."""
    mounted = {
        (file, name.split("-")[-1]): any(volume["name"] == "app-keys" for volume in spec["volumes"])
        for file in ("first-try", "production")
        for name, spec in pods(chart.render(file))
    }
    assert mounted == {
        ("first-try", "connector"): True,
        ("first-try", "check"): True,
        ("first-try", "topics"): False,
        ("first-try", "subscriptions"): False,
        ("production", "connector"): True,
        ("production", "check"): True,
        ("production", "topics"): True,
    }


def test_subpaths_are_used_nowhere(all_pods):
    """No mount uses subPath, because it never sees a rotated Secret."""
    for spec in all_pods.values():
        for container in spec["containers"]:
            assert not any("subPath" in mount for mount in container.get("volumeMounts", []))


def test_the_image_is_named_by_tag_or_digest(chart):
    """The tag is the chart's version unless given; a digest has precedence."""

    def image(**values):
        return chart.one("StatefulSet", "smallest", {"image": values})["spec"]["template"]["spec"]["containers"][0][
            "image"
        ]

    digest = f"sha256:{'0' * 64}"
    assert image(repository="kis-bond-connector") == "kis-bond-connector:0.1.0"
    assert image(repository="r.example/k", tag="1.2") == "r.example/k:1.2"
    assert image(repository="r.example:5000/k", tag="1.2", digest=digest) == f"r.example:5000/k@{digest}"
