"""The auditor as a whole, on a real Kafka beside a connector and an exchange."""

import asyncio
import os
import time

import pytest

from tests.app.audit.world import (
    ISINS,
    auditing,
    coverage_of,
    events_of,
    settings_of,
    strict_code,
    union,
    with_rest,
    withheld,
)

SECONDS = 30
CUT_SECONDS = float(os.environ.get("KIS_BOND_CUT_SECONDS", "1"))  # 60 with `make audit-cut-full`
BACK_SECONDS = 60  # from the session's return until nothing is missing


@pytest.fixture
def trading_goes_on(monkeypatch):
    """Let no day be over: after 15:35 the auditor would ask KIS during the cut already."""
    monkeypatch.setattr("connector.app.audit.rest_round.over_ms", lambda _: 1 << 62)


async def until(condition, seconds=SECONDS):
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


def day_of(auditor, isin):
    """Return the auditor's latest day of a bond, or None."""
    for audited in auditor.parts.auditor.partitions.values():
        for (found, _), day in audited.book.days.items():
            if found == isin:
                return day
    return None


async def trading(deployment):
    """Start the connector and wait until both bonds are registered."""
    await deployment.start()
    deployment.write("desk", {"instruments": ISINS})
    await deployment.until_state("ACTIVE", ISINS)


async def test_what_never_reached_the_socket_is_a_hole_with_bounds(deploy):
    """Each hole equals what the exchange left out, by bond, in volume and order; one event each."""
    async with deploy(faults=["missing=7"]) as deployment:
        await trading(deployment)
        async with auditing(settings_of(deployment)) as auditor:
            for isin in ISINS:
                await deployment.kis.emit_ticks(isin, 100)
            deployment.kis.faults.clear()
            for isin in ISINS:
                await deployment.kis.emit_ticks(isin, 1)
            await deployment.until_delivered()
            missing = {isin: union(found) for isin, found in withheld(deployment.kis).items()}
            await until(lambda: len(auditor.parts.auditor.recent) == sum(map(len, missing.values())))
            status = await auditor.report.status()
        records = coverage_of(deployment)
        for isin in ISINS:
            holes = [(hole["from_volume"], hole["to_volume"]) for hole in records[isin]["holes"]]
            assert holes == missing[isin]
            assert {hole["cause"] for hole in records[isin]["holes"]} == {"unknown"}
            assert all(hole["announced"] for hole in records[isin]["holes"])
            assert records[isin]["missing_volume"] == sum(high - low for low, high in missing[isin])
            assert records[isin]["accumulated_volume"] == deployment.kis.accumulated(isin)
        ids = [event["detail"]["id"] for event in events_of(deployment, "gap")]
        assert sorted(ids) == sorted(hole["id"] for isin in ISINS for hole in records[isin]["holes"])
        assert status["coverage"]["missing_volume"] == sum(records[isin]["missing_volume"] for isin in ISINS)
        assert status["degraded"] == ["KIS is not asked: without audit.credentials_dir the audit rests on ticks alone"]


async def cut_while_trading(deployment, auditor, trades):
    """Cut the session, trade while it is away, and trade on once it is back; return when it was."""
    for isin in ISINS:
        await deployment.kis.emit_ticks(isin, 20)
    await deployment.until_delivered()
    await deployment.kis.refuse()
    await deployment.kis.drop(how="abrupt")
    for _ in range(trades):
        deployment.kis._feed.trade(ISINS)
        await asyncio.sleep(CUT_SECONDS / trades)
    await deployment.kis.listen()
    await deployment.until_state("ACTIVE", ISINS, CUT_SECONDS + SECONDS)
    back_at = time.monotonic()
    for isin in ISINS:
        await deployment.kis.emit_ticks(isin, 1)
    await until(lambda: all((day := day_of(auditor, isin)) and day.holes for isin in ISINS))
    return back_at


@pytest.mark.timeout(360)
@pytest.mark.usefixtures("trading_goes_on")
async def test_a_cut_of_the_session_is_backfilled(deploy, record_property):
    """What traded while the session was cut comes from KIS's list, as ticks with source rest."""
    async with deploy(bonds=ISINS, ccnl_depth=500) as deployment:
        await trading(deployment)
        async with auditing(settings_of(deployment, **with_rest(deployment))) as auditor:
            back_at = await cut_while_trading(deployment, auditor, 30)
            volumes = {isin: deployment.kis.accumulated(isin) for isin in ISINS}
            await until(lambda: {isin: day_of(auditor, isin).covered_volume for isin in ISINS} == volumes, BACK_SECONDS)
            await until(lambda: all(not day_of(auditor, isin).is_changed for isin in ISINS))
            took = time.monotonic() - back_at
            record_property("seconds until nothing is missing", took)
            assert took <= BACK_SECONDS
            assert auditor.parts.round.backfilled == 60
            assert await asyncio.to_thread(strict_code, deployment) == 0
        for isin, record in coverage_of(deployment).items():
            assert record["covered_volume"] == record["accumulated_volume"] == deployment.kis.accumulated(isin)
            (hole,) = record["holes"]
            assert (hole["state"], hole["cause"], hole["remaining"]) == ("FILLED", "reset", [])
        events = events_of(deployment, "backfill")
        assert [event["detail"]["by"] for event in events] == ["rest", "rest"]
        rest = [tick for tick in await deployment.ticks() if tick["source"] == "rest"]
        assert len({tick["tick_id"] for tick in rest}) == len(rest) == 60
        assert {tick["BOND_ISNM"] for tick in rest} == {None}
        assert deployment.kis.tokens_issued == 1


@pytest.mark.timeout(360)
@pytest.mark.usefixtures("trading_goes_on")
async def test_what_kis_no_longer_lists_is_confirmed_missing(deploy):
    """With a list of five trades, the rest of the hole is confirmed, with its exact volume."""
    async with deploy(bonds=ISINS, ccnl_depth=5) as deployment:
        await trading(deployment)
        async with auditing(settings_of(deployment, **with_rest(deployment))) as auditor:
            await cut_while_trading(deployment, auditor, 30)
            await until(lambda: all(day_of(auditor, isin).holes[0].state == "CONFIRMED" for isin in ISINS), 60)
            await until(lambda: all(not day_of(auditor, isin).is_changed for isin in ISINS))
            assert await asyncio.to_thread(strict_code, deployment) == 5
        gone = {isin: union(intervals[:-4]) for isin, intervals in withheld(deployment.kis).items()}
        for isin, record in coverage_of(deployment).items():
            (hole,) = record["holes"]
            assert [tuple(each) for each in hole["remaining"]] == gone[isin]
            assert record["missing_volume"] == sum(high - low for low, high in gone[isin])
            assert (record["state"], hole["cause"]) == ("HOLES", "reset")
