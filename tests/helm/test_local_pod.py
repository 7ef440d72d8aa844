"""The rendered pods work together: settings, keys, lists and paths lead to ticks in a topic."""

import asyncio

import pytest

from simulator import Simulator, SimulatorSettings
from tests.deployment import Deployment
from tests.helm.local_pod import LocalPod
from tests.kafka.process import free_ports

BONDS = ["KR103502GA34", "KR103502GD31"]


@pytest.fixture(params=["standalone", "group"])
async def deployed(request, chart, kafka, topic_names, tmp_path):
    """Give rendered objects with the simulator, and a deployment of the rendered connector."""
    # The connector and the check ask for an approval key within one second, which KIS would refuse.
    async with Simulator(SimulatorSettings(approval_interval_seconds=0)) as kis:
        (port,) = free_ports(1)
        config = {
            "kis": {"approval_url": kis.approval_url, "websocket_url": kis.websocket_url},
            "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
            "topics": {name: getattr(topic_names, name) for name in topic_names.__slots__},
            "http": {"port": port},
            "replicas": {"coordination": request.param, "group_id": topic_names.slots},
        }
        objects = chart.render("simulator", {"config": config, "replicas": 2 if request.param == "group" else 1})
        made = Deployment(kis, kafka.bootstrap_servers, topic_names, tmp_path)
        connector = LocalPod(objects, "StatefulSet", "connector", tmp_path)
        made.environment = connector.environment | {"KIS_BOND_HTTP__HOST": "127.0.0.1"}
        made.port = port
        assert connector.arguments[-1] == "run"
        yield made, objects
        if made.process and made.process.returncode is None:
            await made.end()


async def test_a_try_with_the_simulator_brings_ticks(deployed, tmp_path):
    """Jobs, connector and test pod run as rendered and bring ticks into the topic."""
    made, objects = deployed
    topics = await asyncio.to_thread(LocalPod(objects, "Job", "topics", tmp_path / "topics").run)
    assert topics.returncode == 0, topics.stdout + topics.stderr
    await made.start()
    await made.until_ready()
    lists = await asyncio.to_thread(LocalPod(objects, "Job", "subscriptions", tmp_path / "subscriptions").run)
    assert lists.returncode == 0, lists.stdout + lists.stderr
    await made.until_state("ACTIVE", BONDS)
    await made.kis.emit_ticks(BONDS[0], 20)
    await made.until_delivered()
    check = await asyncio.to_thread(LocalPod(objects, "Pod", "check", tmp_path / "check").run)
    assert check.returncode == 0, check.stdout + check.stderr
    assert await made.end() == 0
    assert {tick["STND_ISCD"] for tick in await made.ticks()} == {BONDS[0]}
    assert len(await made.ticks()) == 20
    assert (await made.latest(made.names.status))["slot/0"]["state"] == "IDLE"
    journal = tmp_path / "var" / "lib" / "kis-bond" / "journal" / "journal"
    assert (journal.stat().st_mode & 0o777, (journal / "progress").exists()) == (0o700, True)
