"""What the auditor's status and metrics say of today."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from connector.app.audit.auditor import now_ms
from connector.app.audit.todays_coverage import TodaysCoverage, days
from connector.core.coverage.dates import seoul_date
from connector.core.coverage.day import Day
from connector.shell.kafka import waiting

BONDS = 300


@pytest.fixture
def auditor():
    """Return an auditor with today and yesterday of many bonds."""
    today = seoul_date(now_ms())
    dates = (today - timedelta(days=1), today)
    found = {(isin, date): Day(isin, date, is_trading_day=True) for isin in map(str, range(BONDS)) for date in dates}
    return SimpleNamespace(partitions={0: SimpleNamespace(book=SimpleNamespace(days=found))})


async def test_other_tasks_have_their_turns(auditor, monkeypatch):
    """Between two bonds another task can run, however many bonds there are."""
    monkeypatch.setattr(waiting, "TURN_SECONDS", 0)
    today = TodaysCoverage(auditor)
    looking, turns = asyncio.create_task(today.look()), 0
    while not looking.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= BONDS
    assert looking.result()["coverage"] == today.coverage
    assert today.coverage["bonds"] == len(looking.result()["days"]) == BONDS


async def test_a_bond_in_two_partitions_counts_once(auditor):
    """After a change of partitions, two of them may know the same bond."""
    auditor.partitions[1] = auditor.partitions[0]
    assert (await TodaysCoverage(auditor).look())["coverage"]["bonds"] == BONDS


def test_other_dates_are_left_out(auditor):
    """The days of one date are found."""
    today = seoul_date(now_ms())
    assert {day.trade_date for day in days(auditor, today)} == {today}
