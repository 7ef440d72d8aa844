"""Plays rows, one for each line on stdin, on one cluster; says on stdout what came out, as lines of JSON."""

import argparse
import asyncio
import json
import platform
import sys
import time
import traceback
from datetime import UTC, datetime
from typing import Any

from tests.faults import rows_feed, rows_kafka, rows_process  # noqa: F401 - they register their rows
from tests.faults.cluster import ProxiedKafka
from tests.faults.rig import Rig
from tests.faults.row import ROWS, Check, Row, told

# Names of checks that a busy machine may spoil: times, and what says that the fault took place at all. Every other figure is the verdict.
TIMES = ("U", "T", "p99", "longest")
FAULTS = ("ticks of each bond", "partitions that moved", "bits flipped", "cuts")


async def play(row: Row, rig: Rig) -> dict[str, Any]:
    """Play one row and return its result as JSON holds it."""
    started_at = time.monotonic()
    checks, error = await attempt(row, rig)
    spoilt = [check for check in checks if not check.met]
    if error or (spoilt and all(check.name.startswith(TIMES + FAULTS) for check in spoilt)):
        # What was seen is told beside the second try.
        first = error.strip().splitlines()[-1][:200] if error else "; ".join(f"{check.name} {check.figure}" for check in spoilt)
        checks, error = await attempt(row, rig)
        checks = [*checks, told("first try", first)]
    return {
        "row": row.number,
        "variant": "full" if rig.full else "quick",
        "fault": row.fault,
        "expected": row.expected,
        "met": error is None and all(check.met for check in checks),
        "checks": [{"name": check.name, "figure": check.figure, "met": check.met} for check in checks],
        "error": error,
        "seconds": round(time.monotonic() - started_at, 1),
        "seed": rig.seed,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


async def attempt(row: Row, rig: Rig) -> tuple[list[Check], str | None]:
    """Play one row once; a row that breaks off is one not met, and the others go on."""
    await rig.cluster.heal()
    try:
        return await row.play(rig), None
    except Exception:  # noqa: BLE001 - whatever broke it is told
        return [], traceback.format_exc()


async def serve(seed: int, *, full: bool) -> None:
    """Play the rows named on stdin until it closes."""
    cluster = await asyncio.to_thread(ProxiedKafka, seed=seed)
    try:
        await cluster.open()
        rig = Rig(cluster, seed, full=full)
        while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
            print(json.dumps(await play(ROWS[name], rig)), flush=True)  # noqa: T201 - the pipe to the parent
    finally:
        await cluster.shut()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--full", action="store_true")
    given = parser.parse_args()
    asyncio.run(serve(given.seed, full=given.full))
