"""The auditor as a whole, on a real Kafka beside a connector and an exchange."""

import asyncio

from tests.app.audit.world import ISINS, auditing, coverage_of, events_of, settings_of, union, withheld

SECONDS = 30


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
            status = auditor.report.status()
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
