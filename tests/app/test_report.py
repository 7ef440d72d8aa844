"""What a connector shows over HTTP."""

import json
import time
from datetime import datetime

import pytest

from connector.app.report import why_ended
from connector.core.bonds.isin import with_check_digit
from connector.core.coverage.dates import seoul_date
from connector.core.kis.slot_view import SlotView
from tests.cli.coverage_records import record as coverage_record

ISINS = [with_check_digit(f"KR10350{number:04d}") for number in range(60)]
A, B, C = ISINS[:3]
WRONG = f"{A[:-1]}{9 - int(A[-1])}"  # a check digit is never its own complement to nine


async def _says(own, words):
    status, body = await own.ask("/readyz")
    return status == 503 and words in json.dumps(body)


@pytest.mark.parametrize(
    ("code", "message", "why"),
    [
        (None, None, None),
        ("OPSP0011", "invalid approval", "OPSP0011 invalid approval"),
        (None, "reset by peer", "reset by peer"),
        ("OPSP9999", "", "OPSP9999"),
        ("1001", None, "1001"),
        ("", "", "no reason was given"),
    ],
)
def test_why_a_session_ended(code, message, why):
    """An end without words is an end all the same."""
    assert why_ended(SlotView(0, "CONNECTING", 41, 0, code, message, {})) == why


async def test_missing_topics_are_not_ready_and_say_what_to_do(deploy):
    """Without topics the connector is alive but not ready, and names the command to run."""
    async with deploy(topics=False) as own:
        await own.start()
        await own.until(lambda: _says(own, "kis-bond topics init"))
        assert (await own.ask("/livez"))[0] == 200
        own.create_topics()
        await own.until_ready()
        assert await own.end() == 0


async def test_status_has_the_last_tick_of_each_wanted_bond(deploy):
    """`/status` has the latest tick of each wanted bond as KIS sent it, and its receive time."""
    async with deploy() as own:
        own.write("desk", {"instruments": [A, B]})
        await own.start()
        await own.until_state("ACTIVE", [A, B])
        *_, record = await own.kis.emit_ticks(A, 3)
        await own.until_delivered()
        _, status = await own.ask("/status")
        assert set(status["last_ticks"]) == {A}
        tick, columns = status["last_ticks"][A], record.split("^")
        assert (tick["BOND_ISNM"], tick["STCK_PRPR"], tick["ACML_VOL"]) == (columns[1], columns[6], columns[16])
        assert datetime.fromisoformat(tick["received_at"]) > datetime.fromisoformat(status["started_at"])
        own.write("desk", {"instruments": [B]})

        async def gone():
            return A not in (await own.ask("/status"))[1]["last_ticks"]

        await own.until(gone)
        assert await own.end() == 0


async def test_status_has_todays_coverage_once_an_auditor_wrote_it(deploy):
    """Without an auditor `/status` has no coverage; with one, what it wrote, as its own status."""
    async with deploy() as own:
        await own.start()
        await own.until_ready()
        assert not {"coverage", "days"} & (await own.ask("/status"))[1].keys()
        today = seoul_date(time.time_ns() // 1_000_000).isoformat()
        own.write(f"{A}/{today}", coverage_record() | {"trade_date": today}, own.names.coverage)

        async def shown():
            return A in (await own.ask("/status"))[1].get("days", {})

        await own.until(shown)
        _, status = await own.ask("/status")
        assert (status["coverage"]["trade_date"], status["coverage"]["states"]) == (today, {"COMPLETE": 1})
        assert await own.end() == 0
