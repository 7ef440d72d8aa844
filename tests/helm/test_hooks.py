"""The jobs around an install, and the pod of `helm test`."""

import json

import pytest
import yaml
from typer.main import get_command

from connector.cli import app
from connector.errors import ConfigurationError, NotInTime, RequestMalformed
from tests.helm.chart import settings_of
from tests.helm.test_settings import check

NAME = "bond-kis-bond-connector"
GROUP = {"config": {"replicas": {"coordination": "group"}}}


def container(each):
    """Return the only container of a pod, or of an object that creates one."""
    spec = each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]
    (found,) = spec["containers"]
    return found


def test_there_is_no_job_unless_asked_for(chart):
    """By default only the connector's pod and the test's pod are created."""
    assert "Job" not in chart.kinds("smallest")


def test_topics_are_made_before_the_pods(chart):
    """The topics' job runs before install and upgrade, so it brings its own settings."""
    job = chart.one("Job", "first-try", name=f"{NAME}-topics")
    settings = chart.one("ConfigMap", "first-try", name=f"{NAME}-topics")
    hooks = [each["metadata"]["annotations"] for each in (settings, job)]
    assert [each["helm.sh/hook"] for each in hooks] == ["pre-install,pre-upgrade"] * 2
    assert int(hooks[0]["helm.sh/hook-weight"]) < int(hooks[1].get("helm.sh/hook-weight", 0))
    assert settings["data"]["kis-bond.yaml"] == settings_of(chart.render("first-try"))
    assert {"name": "config", "configMap": {"name": f"{NAME}-topics"}} in job["spec"]["template"]["spec"]["volumes"]


def test_the_topics_job_runs_topics_init(chart):
    """The job runs `kis-bond topics init`, followed by arguments from the values."""
    assert container(chart.one("Job", "first-try", name=f"{NAME}-topics"))["args"] == ["topics", "init"]
    args = container(chart.one("Job", "production"))["args"]
    assert args == ["topics", "init", "--partitions", "12", "--register-schema"]
    init = get_command(app).commands["topics"].commands["init"]
    assert init.make_context("init", args[2:]).params["partitions"] == 12


def test_the_topics_job_counts_the_app_keys(chart):
    """In a group the slot topic gets a partition for each app key, from a Secret or inline."""
    assert container(chart.one("Job", "first-try", GROUP, f"{NAME}-topics"))["args"] == [
        "topics",
        "init",
        "--slots",
        "1",
    ]
    mounts = [mount["name"] for mount in container(chart.one("Job", "production"))["volumeMounts"]]
    assert "app-keys" in mounts


def test_lists_are_applied_after_the_install(chart):
    """A hook applies the lists of the values after install, upgrade and rollback."""
    job = chart.one("Job", "simulator", name=f"{NAME}-subscriptions")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade,post-rollback"
    assert container(job)["args"] == ["subs", "apply", "-f", "/etc/kis-bond/subscriptions/lists.yaml"]
    (mount,) = [each for each in container(job)["volumeMounts"] if each["name"] == "subscriptions"]
    assert mount["mountPath"] == "/etc/kis-bond/subscriptions"
    lists = chart.one("ConfigMap", "simulator", name=f"{NAME}-subscriptions")["data"]["lists.yaml"]
    assert yaml.safe_load(lists) == {"demo": {"instruments": ["KR103502GA34", "KR103502GD31"]}}


def test_the_lists_job_runs_subs_apply(chart):
    """The job runs `kis-bond subs apply`, followed by arguments from the values."""
    more = {"subscriptions": {"args": ["--prune", "--wait", "60"]}}
    args = container(chart.one("Job", "simulator", more, f"{NAME}-subscriptions"))["args"]
    apply = get_command(app).commands["subs"].commands["apply"]
    taken = apply.make_context("apply", args[2:]).params
    assert (str(taken["file"]), taken["prune"], taken["wait"]) == ("/etc/kis-bond/subscriptions/lists.yaml", True, 60)


def test_jobs_end(chart):
    """A job gives up after a few tries and five minutes; Helm's next try replaces it."""
    for name in ("topics", "subscriptions"):
        job = chart.one("Job", "first-try", name=f"{NAME}-{name}")
        assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (3, 300)
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
        assert "before-hook-creation" in job["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


def test_a_job_that_cannot_succeed_is_not_repeated(chart):
    """A wrong setting or list (exit 2) or a bug (exit 1) fails the job at the first try."""
    for name in ("topics", "subscriptions"):
        job = chart.one("Job", "first-try", name=f"{NAME}-{name}")["spec"]
        (rule,) = job["podFailurePolicy"]["rules"]
        on = {"containerName": container({"kind": "Job", "spec": job})["name"], "operator": "In", "values": [1, 2]}
        assert rule == {"action": "FailJob", "onExitCodes": on}
        assert {ConfigurationError.exit_code, RequestMalformed.exit_code} <= set(on["values"])
        assert NotInTime.exit_code not in on["values"]


def test_argo_cd_runs_the_hooks_too(chart):
    """Argo CD's own annotations say when it runs the jobs, and that it runs no test."""
    wanted = {"topics": "PreSync", "subscriptions": "PostSync"}
    for name, hook in wanted.items():
        annotations = chart.one("Job", "first-try", name=f"{NAME}-{name}")["metadata"]["annotations"]
        assert annotations["argocd.argoproj.io/hook"] == hook
        assert annotations["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation,HookSucceeded"
    settings = chart.one("ConfigMap", "first-try", name=f"{NAME}-topics")["metadata"]["annotations"]
    assert (settings["argocd.argoproj.io/hook"], settings["argocd.argoproj.io/sync-wave"]) == ("PreSync", "-1")
    assert chart.one("Pod", "first-try")["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "Skip"


def test_jobs_may_have_a_kafka_user_of_their_own(chart):
    """jobs.kafka and its volumes reach the hook jobs alone, and win over the settings file."""
    objects = [each for each in chart.render("proxied") if each["kind"] in {"Job", "StatefulSet", "Pod"}]
    found = {}
    for each in objects:
        spec = each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]
        own = spec["containers"][0]
        env = {variable["name"]: variable.get("value") for variable in own["env"]}
        found[own["name"]] = (
            env.get("KIS_BOND_KAFKA__SASL_USERNAME"),
            env.get("KIS_BOND_KAFKA__SASL_PASSWORD_FILE"),
            "admin" in [volume["name"] for volume in spec["volumes"]],
            "/etc/kis-bond/admin" in [mount["mountPath"] for mount in own["volumeMounts"]],
        )
    admin = ("kis-bond-admin", "/etc/kis-bond/admin/password", True, True)
    nothing = (None, None, False, False)
    assert found == {"connector": nothing, "check": nothing, "topics": admin, "subscriptions": admin}


SCRAM = {
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "kis-bond-admin",
    "sasl_password_file": "/etc/kis-bond/admin/password",
}
TOKENS = {
    "sasl_mechanism": "OAUTHBEARER",
    "oauth_token_url": "https://sso.example.com:8443/token",
    "oauth_client_id": "kis-bond-admin",
    "oauth_client_secret_file": "/etc/kis-bond/admin/client-secret",
    "oauth_extra": {"resource": "bonds", "tenant": "a=b"},
}
SIGNED = {
    "sasl_mechanism": "OAUTHBEARER",
    "oauth_token_url": "https://sso.example.com:8443/token",
    "oauth_client_id": "kis-bond-admin",
    "oauth_client_key_file": "/etc/kis-bond/admin/client-key.pem",
}
KEYTAB = {
    "sasl_mechanism": "GSSAPI",
    "gssapi_principal": "kis-bond-admin@EXAMPLE.COM",
    "gssapi_keytab_file": "/etc/kis-bond/admin/keytab",
}


@pytest.mark.parametrize("file", ["production", "with-tokens", "with-client-key", "with-kerberos", "with-msk"])
@pytest.mark.parametrize("own", [SCRAM, TOKENS, SIGNED, KEYTAB], ids=["SCRAM", "TOKENS", "SIGNED", "KEYTAB"])
def test_jobs_may_log_in_in_another_way(chart, file, own, tmp_path):
    """The connector takes the jobs' login, and no setting of the pods' login is left beside it."""
    if file == "with-msk" and own["sasl_mechanism"] == "OAUTHBEARER":
        own = {**own, "oauth_provider": "oidc"}
    values = {"jobs": {"kafka": own}, "topics": {"init": True}}
    job = chart.one("Job", file, values, f"{NAME}-topics")
    given = {each["name"]: each.get("value") for each in container(job)["env"]}
    environment = {name: value for name, value in given.items() if name.startswith("KIS_BOND_KAFKA__")}
    result = check(settings_of(chart.render(file, values)), tmp_path, environment)
    assert result.returncode == 0, result.stderr
    shown = json.loads(result.stdout)["settings"]["kafka"]
    assert {name: shown[name] for name in own if not name.endswith("_file")} == {
        name: value for name, value in own.items() if not name.endswith("_file")
    }
    assert shown["oauth_client_key_id"] is None, "it would name the key of the pods' client"


def test_jobs_have_resources_and_annotations_of_their_own(chart):
    """jobs.resources and jobs.annotations apply to the jobs; the connector keeps its own."""
    for name in ("topics", "subscriptions"):
        job = chart.one("Job", "proxied", name=f"{NAME}-{name}")
        assert container(job)["resources"]["limits"] == {"memory": "256Mi"}
        for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
            assert metadata["annotations"]["sidecar.istio.io/inject"] == "false"
        replaced = {"jobs": {"annotations": {"helm.sh/hook": "pre-delete"}}}
        kept = chart.one("Job", "proxied", replaced, f"{NAME}-{name}")["metadata"]["annotations"]
        assert kept["helm.sh/hook"] == job["metadata"]["annotations"]["helm.sh/hook"]
    workload = chart.one("StatefulSet", "proxied")["spec"]["template"]["spec"]["containers"][0]
    assert workload["resources"]["limits"] == {"memory": "512Mi"}


def test_helm_test_checks_every_peer(chart):
    """`helm test` runs `check --connect` as the connector would run, with room for a journal."""
    pod = chart.one("Pod", "smallest")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert container(pod)["args"] == ["check", "--connect"]
    assert pod["spec"]["restartPolicy"] == "Never"
    workload = container(chart.one("StatefulSet", "smallest"))
    places = {mount["name"]: mount["mountPath"] for mount in container(pod)["volumeMounts"]}
    assert places == {mount["name"]: mount["mountPath"] for mount in workload["volumeMounts"]}
    assert container(pod)["env"] == workload["env"]
