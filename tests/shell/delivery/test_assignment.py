"""Each lane gets a producer of its leader, and a new one after a failure."""

from dataclasses import replace

import pytest
from aiokafka.errors import KafkaConnectionError

from connector.core.ticks.partition import partition
from tests.shell.delivery.fake_kafka import DEAD_LETTERS, TICKS
from tests.shell.delivery.frames import ISINS, frame
from tests.shell.delivery.work import assert_complete, has, trade, until

pytestmark = pytest.mark.usefixtures("impatient")


async def test_a_partition_without_a_leader_leaves_the_others_flowing(work):
    """Without a leader one partition waits; the others go on and cost no further producer."""
    brokers, journal, running = work
    stuck = partition(ISINS[0].encode(), 4)
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 1)
    brokers.leads[TICKS, stuck] = None
    trade(journal, 1, 600)
    flowing = [isin for isin in ISINS if partition(isin.encode(), 4) != stuck]
    assert flowing
    await until(lambda: all(has(brokers, isin) == 600 for isin in flowing), 60)
    assert journal.watermark == 1, "the watermark is the lowest"
    await until(lambda: running.waiting_for == "a leader of the partition")
    assert running.counts.rebuilds == 1
    brokers.leads[TICKS, stuck] = "broker-0"
    await until(lambda: journal.watermark == 600, 60)
    assert_complete(brokers, 600)
    assert (running.counts.decoded, running.counts.acknowledged, running.counts.in_flight) == (4800, 4800, 0)


async def test_a_topic_with_fewer_partitions_than_before_asks_for_a_restart(work):
    """Ticks of a partition that is gone for good do not seem to wait for a leader."""
    brokers, journal, running = work
    gone = partition(ISINS[0].encode(), 4)
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 1)
    del brokers.leads[TICKS, gone]
    trade(journal, 1, 3)
    expected = f"a restart: topic {TICKS} does not have partition {gone} any more"
    await until(lambda: running.waiting_for == expected)
    assert journal.watermark == 1


async def test_a_broker_that_hangs_costs_the_other_broker_nothing(work):
    """Lanes of a healthy broker keep their producer while another broker hangs."""
    brokers, journal, _ = work
    trade(journal, 0, 10)
    await until(lambda: journal.watermark == 10)
    healthy = [producer for producer in brokers.producers if producer.leader == "broker-1"]
    brokers.hanging.add("broker-0")
    trade(journal, 10, 500)
    flowing = [isin for isin in ISINS if partition(isin.encode(), 4) % 2 == 1]
    await until(lambda: all(has(brokers, isin) == 500 for isin in flowing))
    await until(lambda: any(producer.leader == "broker-0" for producer in brokers.abandoned))
    assert not set(healthy) & set(brokers.abandoned)
    brokers.hanging.clear()
    await until(lambda: journal.watermark == 500)
    assert_complete(brokers, 500)


async def test_a_producer_that_cannot_start_is_tried_again(work):
    """While no broker answers, delivery waits and says so."""
    brokers, journal, running = work
    brokers.hanging.update({"broker-0", "broker-1"})
    trade(journal, 0, 10)
    await until(lambda: "KafkaConnectionError" in (running.waiting_for or ""))
    assert running.counts.rebuilds == 0, "what never ran is not rebuilt"
    brokers.hanging.clear()
    await until(lambda: journal.watermark == 10)
    assert_complete(brokers, 10)
    assert running.waiting_for is None


async def test_a_cluster_out_of_reach_is_waited_out(work, monkeypatch):
    """While no leader is known, failed lanes wait for one."""
    brokers, journal, running = work
    trade(journal, 0, 10)
    await until(lambda: journal.watermark == 10)
    leaders = brokers.leaders

    async def unreachable():
        raise KafkaConnectionError("nobody there")

    monkeypatch.setattr(running._assignment, "_kafka", replace(running._assignment._kafka, leaders=unreachable))
    brokers.hanging.update({"broker-0", "broker-1"})
    trade(journal, 10, 20)
    await until(lambda: "nobody there" in (running.waiting_for or ""))
    monkeypatch.setattr(running._assignment, "_kafka", replace(running._assignment._kafka, leaders=leaders))
    brokers.hanging.clear()
    await until(lambda: journal.watermark == 20)
    assert_complete(brokers, 20)


async def test_a_partition_that_gets_nothing_holds_up_nothing(work):
    """While a partition without records has no leader, everything else is finished."""
    brokers, journal, running = work
    brokers.leads[DEAD_LETTERS, 0] = None
    trade(journal, 0, 20)
    await until(lambda: journal.watermark == 20)
    journal.append(frame(raw=b"9|nonsense"))
    trade(journal, 20, 40)
    await until(lambda: all(has(brokers, isin) == 40 for isin in ISINS))
    await until(lambda: journal.watermark == 20)  # the dead letter waits
    brokers.leads[DEAD_LETTERS, 0] = "broker-0"
    await until(lambda: journal.watermark == 41)
    assert [one.value for one in brokers.logs[DEAD_LETTERS, 0]] == [b"9|nonsense"]
    assert running.counts.in_flight == 0
