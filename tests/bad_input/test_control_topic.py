"""Bad-input matrix, the control topic: an unusable one makes the connector not ready."""

import json

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from simulator import Simulator
from tests.deployment import Deployment
from tests.kafka.reader import create_topics

BOND = "KR103502GD31"


@pytest.fixture
async def own(kafka, topic_names, tmp_path):
    """Return a stopped connector that has run, and so has saved its list of one bond."""
    async with Simulator() as kis:
        deployed = Deployment(kis, kafka.bootstrap_servers, topic_names, tmp_path)
        deployed.create_topics()
        deployed.write(BOND, {})
        await deployed.start()
        await deployed.until_state("ACTIVE", [BOND])
        assert await deployed.end() == 0
        yield deployed
        await deployed.end()


def remade(own, partitions, policy, **configs):
    """Create the control topic again with another shape."""
    admin = AdminClient({"bootstrap.servers": own.bootstrap_servers, "log_level": 0})
    for done in admin.delete_topics([own.names.control]).values():
        done.result(30)
    create_topics(own.bootstrap_servers, {own.names.control: partitions}, **{"cleanup.policy": policy, **configs})


@pytest.mark.parametrize(
    ("partitions", "policy", "fix"),
    [
        (2, "compact", "has 2 partitions instead of 1: delete it, run kis-bond topics init and write the lists again"),
        (1, "delete", "has cleanup.policy=delete: set it to compact alone, else old records disappear"),
    ],
    ids=["two partitions", "not compacted"],
)
async def test_a_control_topic_of_the_wrong_shape_is_not_used(own, partitions, policy, fix):
    """The connector is not ready and names the fix; saved lists stay in use, ticks flow."""
    remade(own, partitions, policy)
    await own.start()
    await own.until_state("ACTIVE", [BOND])
    status, body = await own.ask("/readyz")
    assert status == 503
    assert body["reasons"] == [f"topic {own.names.control} {fix}"]
    await own.kis.emit_ticks(BOND, 3)
    await own.until_delivered()
    assert (await own.ask("/livez"))[0] == 200


async def test_a_control_record_of_two_mebibytes_is_refused_by_its_place(own):
    """A record that is too large is refused by partition and offset; the next one counts."""
    admin_limit = {"max.message.bytes": str(4 * 2**20)}
    remade(own, 1, "compact", **admin_limit)
    producer = Producer({"bootstrap.servers": own.bootstrap_servers, "log_level": 0, "message.max.bytes": 4 * 2**20})
    for key, content in (
        (BOND, "{}"),
        ("desk", json.dumps({"instruments": [], "note": "x" * 2**21})),
        ("KR103502GA34", "{}"),
    ):
        producer.produce(own.names.control, content, key)
    assert producer.flush(30) == 0
    await own.start()
    await own.until_state("ACTIVE", [BOND, "KR103502GA34"])
    status = (await own.ask("/status"))[1]["lists"]["desk"]
    assert (status["state"], status["control"]) == ("REFUSED", {"partition": 0, "offset": 1})
    assert "at most 1048060 are allowed" in status["reason"]
