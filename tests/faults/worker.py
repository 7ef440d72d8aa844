"""Plays the rows named on stdin, one a line, on one cluster; prints results as lines of JSON."""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaException

from tests.faults import (  # noqa: F401 - they register their rows
    rows_access,
    rows_disk,
    rows_feed,
    rows_journal,
    rows_kafka,
    rows_lists,
    rows_partitions,
    rows_process,
    rows_refusals,
    rows_tokens,
)
from tests.faults.cluster import ProxiedKafka, RigTrouble
from tests.faults.rig import Rig
from tests.faults.row import ROWS, Check, Row, shown

# Checks that a busy machine may spoil: times, and whether the fault took place at all. Any other
# figure is the verdict.
TIMES = (
    "U", "T", "p99", "longest", "ticks later", "first tick after", "most frames pending",
    "frames gone that were written earlier than promised",
)  # fmt: skip
FAULTS = ("ticks of each bond", "partitions that moved", "bits flipped", "cuts", "frames pending")
TRIES = 3
EARLIER = ("first try", "second try")


async def play(row: Row, rig: Rig) -> dict[str, Any]:
    """Play one row and return its result as JSON holds it.

    Another try, up to the third, follows only if the rig failed, or if only figures that a busy
    machine spoils are bad; the earlier tries' outcomes are then shown. If the connector hangs or
    breaks the row off, there is no other try.
    """
    started_at = time.monotonic()
    checks, failure = await attempt(row, rig)
    earlier: list[Check] = []
    while len(earlier) < TRIES - 1 and (said := again(checks, failure)):
        earlier.append(shown(EARLIER[len(earlier)], said))
        checks, failure = await attempt(row, rig)
    checks = [*checks, *earlier]
    return {
        "row": row.number,
        "variant": "full" if rig.full else "quick",
        "fault": row.fault,
        "expected": row.expected,
        "met": failure is None and all(check.met for check in checks),
        "ledgers": [ledger.as_json() for ledger in rig.ledgers],
        "checks": [{"name": check.name, "figure": check.figure, "met": check.met} for check in checks],
        "error": failure and "".join(traceback.format_exception(failure)),
        "seconds": round(time.monotonic() - started_at, 1),
        "seed": rig.seed,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
    }


def again(checks: Sequence[Check], failure: Exception | None) -> str | None:
    """Return a try's outcome in words if it calls for another try, else None."""
    if failure is not None:
        return f"{type(failure).__name__}: {failure}" if _is_of_the_rig(failure) else None
    spoilt = [check for check in checks if not check.met]
    if not all(check.name.startswith(TIMES + FAULTS) for check in spoilt):
        return None
    return "; ".join(f"{check.name} {check.figure}" for check in spoilt) or None


def _is_of_the_rig(failure: Exception) -> bool:
    """Whether the rig failed; an error while tidying up does not hide the row's own error."""
    before: BaseException | None = failure
    while (before := before.__context__) is not None:
        if isinstance(before, AssertionError):
            return False
    return isinstance(failure, (RigTrouble, KafkaException))


async def attempt(row: Row, rig: Rig) -> tuple[list[Check], Exception | None]:
    """Play one row once; a row that breaks off is not met, and the others go on."""
    rig.ledgers.clear()
    try:
        await rig.cluster.heal()
        return await row.play(rig), None
    except Exception as failure:  # noqa: BLE001 - any error is the result
        return [], failure


def machine() -> str:
    """Return a description of the machine."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    kind = f"{platform.system()} {platform.machine()}"
    return f"{kind}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def rows_on_stdin() -> asyncio.Queue[str]:
    """Return a queue of the names that come on stdin; the calling task is cancelled when it closes.

    Stdin closes in the middle of a row only if the parent was killed. Nobody would then end the
    row's own processes.
    """
    names: asyncio.Queue[str] = asyncio.Queue()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(names.put_nowait, line.strip())
        loop.call_soon_threadsafe(task.cancel)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    return names


async def serve(seed: int, *, full: bool) -> None:
    """Play the rows named on stdin until it closes."""
    names = rows_on_stdin()
    cluster = await asyncio.to_thread(ProxiedKafka, seed=seed)
    try:
        await cluster.open()
        rig = Rig(cluster, seed, full=full)
        while True:
            result = await play(ROWS[await names.get()], rig)
            print(json.dumps(result), flush=True)  # noqa: T201 - the pipe to the parent
    finally:
        await cluster.shut()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--full", action="store_true")
    given = parser.parse_args()
    with contextlib.suppress(asyncio.CancelledError):  # stdin was closed
        asyncio.run(serve(given.seed, full=given.full))
