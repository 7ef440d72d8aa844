"""An upgrade of a release that runs."""

import pytest
import yaml

from tests.helm.chart import NAMESPACE, Refused
from tests.helm.cluster import cluster

NAME = "bond-kis-bond-connector"
PLACE = {"name": NAME, "namespace": NAMESPACE}


def running(coordination, replicas, left=0):
    """Return what the cluster has of a release with that coordination and so many pods."""
    settings = {"replicas": {"coordination": coordination}}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": PLACE, "data": {"kis-bond.yaml": yaml.dump(settings)}},
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": PLACE,
            "spec": {"replicas": replicas},
            "status": {"replicas": replicas + left},
        },
    ]


def values(coordination, replicas):
    """Return the values of the upgrade."""
    return {"replicas": replicas, "config": {"replicas": {"coordination": coordination}}}


@pytest.mark.parametrize(
    ("before", "after", "advice"),
    [
        (running("standalone", 1), ("group", 2), "first set it with replicas 1, then set replicas"),
        (running("group", 2), ("standalone", 1), "first set replicas 1, and change it once the other pods are gone"),
        (running("group", 1, left=1), ("standalone", 1), "once the other pods are gone"),
        (running("group", 2), ("standalone", 0), "once the other pods are gone"),
    ],
)
def test_the_kind_of_coordination_changes_with_one_pod_alone(chart, tmp_path, before, after, advice):
    """With a second pod, old and new coordination would open the same app keys: two upgrades."""
    with cluster(tmp_path, before) as kubeconfig, pytest.raises(Refused, match="make two upgrades") as refused:
        chart.upgrade("smallest", values(*after), kubeconfig)
    assert advice in str(refused.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], ("group", 2)),
        (running("standalone", 1), ("group", 1)),
        (running("group", 1), ("group", 3)),
        (running("group", 3), ("group", 1)),
        (running("group", 1), ("standalone", 1)),
        (running("standalone", 0), ("group", 1)),
    ],
)
def test_single_steps_are_taken(chart, tmp_path, before, after):
    """A first install, and each of the two steps alone, render as without a cluster."""
    with cluster(tmp_path, before) as kubeconfig:
        assert chart.upgrade("smallest", values(*after), kubeconfig) == chart.render("smallest", values(*after))
