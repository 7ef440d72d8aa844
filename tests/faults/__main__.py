"""Plays the fault matrix against three real brokers and prints the outcome of each row.

Examples:
  python -m tests.faults                 all but group F, shortened where the fault takes minutes
  python -m tests.faults F               the rows of group F, which need more than brokers
  python -m tests.faults A2 A3 --full    two rows at their full length
  python -m tests.faults --list          list the rows
  python -m tests.faults --table         write the results so far into docs/guarantee.md
"""

import argparse
import asyncio
import json
import os
import re
import sys
import time
from typing import Any

from rich.console import Console

from tests.conftest import ACCESS_REQUIRED
from tests.faults import results, share
from tests.faults.row import ACCESS
from tests.faults.worker import ROWS

ROW_SECONDS = 3600
console = Console(highlight=False, soft_wrap=True)


def arguments() -> argparse.Namespace:
    """Return the parsed arguments; ends with 2 and a sentence if they are malformed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help="rows or groups, such as A2 B1 F; without any, all but F"
    )
    parser.add_argument("--full", action="store_true", help="let each fault last as long as the matrix says")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="clusters at work side by side (default 2)")
    parser.add_argument("--seed", type=int, default=4, help="of the market and of every random fault (default 4)")
    parser.add_argument("--json", action="store_true", help="print each result as a line of JSON")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    parser.add_argument("--table", action="store_true", help="write the kept results into docs/guarantee.md and end")
    share.add_argument(parser)
    given = parser.parse_args()
    groups = list(dict.fromkeys(name[0] for name in in_order()))
    unknown = [name for name in given.rows if name not in ROWS and name not in groups]
    if unknown:
        parser.error(f"there is no row {', '.join(unknown)}; the rows are {', '.join(in_order())}")
    asked = given.rows or [group for group in groups if group != ACCESS]
    named = [name for each in asked for name in in_order() if each in {name, name[0]}]
    given.rows = share.share_of(named, given.share)
    return given


def in_order() -> list[str]:
    """Return the rows' numbers in the order of the matrix."""
    return sorted(ROWS, key=lambda name: (name[0], int(re.sub(r"\D", "", name))))


def show(result: dict[str, Any], place: str) -> None:
    """Print one row's outcome: each run's ledger, the row's own checks, and all failed checks."""
    verdict = "[green]met[/]" if result["met"] else "[red]NOT MET[/]"
    console.print(f"{place:>7} [bold]{result['row']:<4}[/]{verdict}  {result['seconds']:.0f} s  {result['fault']}")
    for line in results.lines(result):
        console.print(f"{'':13}{line}")
    for check in results.own_checks(result):
        console.print(
            f"{'':13}{'' if check['met'] else '[red]NOT MET[/] '}{check['name']}: {check['figure']}", markup=True
        )
    if result["error"]:
        console.print(result["error"], style="red", markup=False)


async def work(names: asyncio.Queue[str], given: argparse.Namespace, done: list[dict[str, Any]], total: int) -> None:
    """Let one worker process play rows until none is left."""
    command = [
        sys.executable,
        "-m",
        "tests.faults.worker",
        "--seed",
        str(given.seed),
        *(["--full"] if given.full else []),
    ]
    worker = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    while not names.empty():
        name = names.get_nowait()
        worker.stdin.write(f"{name}\n".encode())
        line = await asyncio.wait_for(worker.stdout.readline(), ROW_SECONDS)
        if not line:
            raise RuntimeError(f"The worker that played {name} ended with {await worker.wait()}")
        result = json.loads(line)
        done.append(result)
        results.keep(result)
        if given.json:
            print(json.dumps(result), flush=True)  # noqa: T201 - for scripts
        else:
            show(result, f"{len(done)}/{total}")
    worker.stdin.close()
    await worker.wait()


async def main(given: argparse.Namespace) -> int:
    """Play the rows and return the exit code: 0 if all that were played are met, else 5.

    Also 5 if a row is left out that ACCESS_REQUIRED demands.
    """
    reasons = {name: why for name in given.rows if (why := ROWS[name].why_not()) is not None}
    wanted = [name for name in given.rows if name not in reasons]
    for name, why in reasons.items():
        console.print(f"[bold red]LEFT OUT: {name}: {why}[/]")
    done: list[dict[str, Any]] = []
    started_at = time.monotonic()
    for rows, jobs in (
        ([name for name in wanted if ROWS[name].is_timed], 1),
        ([name for name in wanted if not ROWS[name].is_timed], given.jobs),
    ):
        names: asyncio.Queue[str] = asyncio.Queue()
        for name in rows:
            names.put_nowait(name)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(jobs, len(rows))):
                group.create_task(work(names, given, done, len(wanted)))
    missing = [name for name in reasons if name.startswith(ACCESS)] if os.environ.get(ACCESS_REQUIRED) == "1" else []
    failed = [result for result in done if not result["met"]]
    if not given.json:
        for result in failed:  # repeated at the end, which is the part of a long log that people see
            show(result, "")
        said = f"; not met: {', '.join(result['row'] for result in failed)}" if failed else ""
        said += f"; left out: {', '.join(reasons)}" if reasons else ""
        said += f", and {ACCESS_REQUIRED} is 1" if missing else ""
        console.print(
            f"{len(done) - len(failed)} of {len(done)} rows met in {time.monotonic() - started_at:.0f} s{said}"
        )
    return 5 if failed or missing else 0


if __name__ == "__main__":
    asked = arguments()
    if asked.list:
        for name in in_order():
            console.print(f"{name:<4} {ROWS[name].fault}: {ROWS[name].expected}")
    elif asked.table:
        results.write_table()
    else:
        sys.exit(asyncio.run(main(asked)))
