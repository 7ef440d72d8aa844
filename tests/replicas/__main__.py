"""Plays what may happen to replicas that share app keys, and says row by row what came out.

Examples:
  python -m tests.replicas                     all rows
  python -m tests.replicas polite killed       two rows
  python -m tests.replicas --table             also write this run's figures into docs/hand-over.md
"""

import argparse
import asyncio
import json
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.faults import share
from tests.faults.cluster import ProxiedKafka
from tests.faults.row import Check, shown
from tests.replicas import rows_rollout  # noqa: F401 - its rows register themselves
from tests.replicas.previous import NotInThisClone
from tests.replicas.rig import Rig
from tests.replicas.rows import ROWS, Play

PAGE = Path(__file__).parents[2] / "docs" / "hand-over.md"
BEGIN, END = "<!-- table: make replicas-test -->", "<!-- end of table -->"
TIMES = ("gap",)  # names of checks that a busy machine may spoil; every other figure is the verdict
TRIES = 3
EARLIER = ("first try", "second try")
LEFT_OUT = "LEFT OUT"
console = Console(highlight=False, soft_wrap=True)


def arguments() -> argparse.Namespace:
    """Return the command line's arguments; ends with 2 and a sentence if they are malformed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.replicas", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"rows by name: {', '.join(ROWS)}; without any, all")
    parser.add_argument("--json", action="store_true", help="print each result as a line of JSON")
    parser.add_argument("--table", action="store_true", help="write the figures into docs/hand-over.md")
    share.add_argument(parser)
    given = parser.parse_args()
    if unknown := [name for name in given.rows if name not in ROWS]:
        parser.error(f"there is no row {', '.join(unknown)}; the rows are {', '.join(ROWS)}")
    given.rows = share.share_of(given.rows or list(ROWS), given.share)
    return given


async def play(name: str, rig: Rig) -> dict[str, Any]:
    """Play one row and return its result; play it again if it broke off or only missed a time."""
    what, expected, played = ROWS[name]
    started_at = time.monotonic()
    checks, error = await attempt(played, rig)
    earlier: list[Check] = []
    while len(earlier) < TRIES - 1 and (said := again(checks, error)):
        earlier.append(shown(EARLIER[len(earlier)], said))
        checks, error = await attempt(played, rig)
    checks = [*checks, *earlier]
    return {
        "row": name,
        "what": what,
        "expected": expected,
        "met": error is None and all(check.met for check in checks),
        "checks": [{"name": check.name, "figure": check.figure, "met": check.met} for check in checks],
        "error": error,
        "seconds": round(time.monotonic() - started_at, 1),
    }


def again(checks: list[Check], error: str | None) -> str | None:
    """Return a try's outcome in words if it calls for another try, else None."""
    if error is not None:
        return error.strip().splitlines()[-1][:200]
    spoilt = [check for check in checks if not check.met]
    if not all(check.name.startswith(TIMES) for check in spoilt):
        return None
    return "; ".join(f"{check.name} {check.figure}" for check in spoilt) or None


async def attempt(played: Play, rig: Rig) -> tuple[list[Check], str | None]:
    """Play a row once; if it breaks off, it is not met, and the others go on."""
    try:
        return await played(rig), None
    except NotInThisClone as error:
        return [shown(LEFT_OUT, str(error))], None
    except Exception:  # noqa: BLE001 - the result says what broke it
        return [], traceback.format_exc()


def was_left_out(result: dict[str, Any]) -> bool:
    """Return whether this clone lacks what the row needs."""
    return any(check["name"] == LEFT_OUT for check in result["checks"])


def show(result: dict[str, Any]) -> None:
    """Print one row's outcome and figures."""
    verdict = "[green]met[/]" if result["met"] else "[red]NOT MET[/]"
    if was_left_out(result):
        verdict = "[yellow]LEFT OUT[/]"
    console.print(f"[bold]{result['row']}[/] {verdict}  {result['seconds']:.0f} s  {result['what']}")
    for check in result["checks"]:
        console.print(f"    {'' if check['met'] else '[red]NOT MET[/] '}{check['name']}: {check['figure']}")
    if result["error"]:
        console.print(result["error"], style="red", markup=False)


def write_table(results: list[dict[str, Any]]) -> None:
    """Replace the page's table between its markers."""
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    lines = ["| what happens | expected | measured | met | date | command |", "|---|---|---|---|---|---|"]
    for result in results:
        figures = "; ".join(f"{check['name']} {check['figure']}" for check in result["checks"]) or "the row broke off"
        met = "left out" if was_left_out(result) else "yes" if result["met"] else "**no**"
        command = f'`make replicas-test ARGS="{result["row"]!r}"`'.replace("'\"", "'\"")
        lines.append(f"| {result['what']} | {result['expected']} | {figures} | {met} | {today} | {command} |")
    page = PAGE.read_text(encoding="utf-8")
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(f"{page[:begin]}\n{chr(10).join(lines)}\n{page[end:]}", encoding="utf-8")


async def main(given: argparse.Namespace) -> int:
    """Play the rows and return the exit code: 0 if all are met, else 5."""
    cluster = await asyncio.to_thread(ProxiedKafka, size=1)
    results = []
    started_at = time.monotonic()
    try:
        await cluster.open()
        for name in given.rows:
            result = await play(name, Rig(cluster))
            results.append(result)
            if given.json:
                print(json.dumps(result), flush=True)  # noqa: T201 - for scripts
            else:
                show(result)
    finally:
        await cluster.shut()
    failed = [result for result in results if not result["met"]]
    left_out = [result for result in results if was_left_out(result)]
    if not given.json:
        for result in failed:  # again, at the end: that is the part of a long log people see
            show(result)
        said = f"; not met: {', '.join(result['row'] for result in failed)}" if failed else ""
        console.print(
            f"{len(results) - len(failed) - len(left_out)} of {len(results)} rows met "
            f"in {time.monotonic() - started_at:.0f} s{said}"
            + (f"; left out: {', '.join(result['row'] for result in left_out)}" if left_out else "")
        )
    if given.table:
        write_table(results)
    return 5 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
