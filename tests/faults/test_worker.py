"""Rows come on stdin; one gets two more tries if the rig failed, none if the connector did."""

import asyncio
import os
import sys
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaException

from tests.faults.cluster import RigTrouble
from tests.faults.row import Check, Row
from tests.faults.worker import play, rows_on_stdin

WELL = [Check("L", "0", met=True)]


class Cluster:
    """Heals."""

    async def heal(self):
        """Do nothing."""


def rig():
    """Return a rig with one ledger to drop and one to keep."""
    return SimpleNamespace(cluster=Cluster(), full=False, seed=4, ledgers=[])


async def played(*tries):
    """Play a row with these outcomes (checks or errors); return the result and the tries."""
    had = []

    async def of(its):
        had.append(its)
        its.ledgers.append(SimpleNamespace(as_json={"try": len(had)}.copy))
        come = tries[len(had) - 1]
        if isinstance(come, Exception):
            raise come
        return come

    result = await play(Row("A1", "a fault", "nothing", of, is_timed=False, why_not=lambda: None), rig())
    return result, len(had)


@pytest.mark.parametrize(
    "failure", [AssertionError("not in 900 s; the log ends:"), TimeoutError(), OSError("reset"), KeyError("x")]
)
async def test_a_row_the_connector_breaks_off_is_not_met_at_once(failure):
    """If the connector breaks a row off, there is no second try."""
    result, tries = await played(failure, WELL)
    assert (result["met"], tries) == (False, 1)
    assert type(failure).__name__ in result["error"]


@pytest.mark.parametrize("trouble", [RigTrouble("the brokers did not start"), KafkaException("no answer")])
async def test_trouble_of_the_rig_is_played_again_and_shown(trouble):
    """After trouble of the rig, the second try counts; the first one's words are shown."""
    result, tries = await played(trouble, WELL)
    assert (result["met"], tries, result["ledgers"]) == (True, 2, [{"try": 2}])
    assert result["checks"][-1] == {"name": "first try", "figure": f"{type(trouble).__name__}: {trouble}", "met": True}


async def test_trouble_while_tidying_up_does_not_hide_a_wedge():
    """A cluster that does not heal after a broken row is no reason for a second try."""
    trouble = RigTrouble("the brokers did not start")
    trouble.__context__ = AssertionError("not in 900 s")
    result, tries = await played(trouble, WELL)
    assert (result["met"], tries) == (False, 1)
    assert "not in 900 s" in result["error"]


async def test_a_time_out_of_bounds_is_played_again_and_shown():
    """A time that a busy machine spoilt is tried again, and both figures are shown."""
    result, tries = await played([*WELL, Check("U, s", "9.97 (at most 7)", met=False)], WELL)
    assert (result["met"], tries) == (True, 2)
    assert result["checks"][-1]["figure"] == "U, s 9.97 (at most 7)"


async def test_the_third_try_is_the_last():
    """If every try misses a time, the row is not met, and each figure is shown."""
    slow = [[Check("T, s", f"{seconds} (at most 7)", met=False)] for seconds in (9, 8, 10)]
    result, tries = await played(*slow)
    assert (result["met"], tries) == (False, 3)
    assert [(check["name"], check["figure"]) for check in result["checks"]] == [
        ("T, s", "10 (at most 7)"),
        ("first try", "T, s 9 (at most 7)"),
        ("second try", "T, s 8 (at most 7)"),
    ]


async def test_a_loss_beside_a_spoilt_time_stands():
    """One figure that a busy machine cannot spoil is the verdict."""
    result, tries = await played([Check("L", "1", met=False), Check("U, s", "9.97 (at most 7)", met=False)], WELL)
    assert (result["met"], tries) == (False, 1)


async def test_a_row_ends_with_the_parent(monkeypatch):
    """If stdin closes in the middle of a row, as after a kill of the parent, the row ends."""
    reading, writing = os.pipe()
    begun = asyncio.Event()

    async def never_ends():
        assert await rows_on_stdin().get() == "C3"
        begun.set()
        await asyncio.Event().wait()

    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        playing = asyncio.create_task(never_ends())
        os.write(writing, b"C3\n")
        await asyncio.wait_for(begun.wait(), 10)
        os.close(writing)
        await asyncio.wait([playing], timeout=10)
    assert playing.cancelled()
