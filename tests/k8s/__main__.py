"""Tries the chart on a real Kubernetes, and says trial by trial what came out.

Examples:
  python -m tests.k8s                  all trials
  python -m tests.k8s "one step" hung  two trials; the first one installs and is always needed
  python -m tests.k8s --table          also write this run's figures into docs/install-kubernetes.md
"""

import argparse
import asyncio
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.faults.row import Check
from tests.helm.toolchain import build_helm
from tests.image import base
from tests.image.build import build
from tests.image.engine import engine
from tests.k8s.binaries import VERSION
from tests.k8s.cluster import PAUSE, Cluster, pause_image, running
from tests.k8s.release import Release, released
from tests.k8s.trials import TRIALS

PAGE = Path(__file__).parents[2] / "docs" / "install-kubernetes.md"
BEGIN, END = "<!-- table: make k8s-test -->", "<!-- end of table -->"
console = Console(highlight=False, soft_wrap=True)


def load_images(cluster: Cluster) -> str:
    """Build the image and bring it to the node; return its name."""
    with engine() as docker:
        if docker.is_own:
            base.make(docker)
        image = build(docker, revision="k8s-test")
        pause_image(docker, base.name())
        for name in (image, PAUSE):
            cluster.load(docker, name)
    return image


async def play(release: Release, names: list[str]) -> list[tuple[str, list[Check], str | None]]:
    """Play the trials in order, and show each result."""
    results = []
    for name in names:
        what, _, played = TRIALS[name]
        began = time.monotonic()
        try:
            checks, error = await played(release), None
        except Exception:  # noqa: BLE001 - the result says what broke it, and the other trials go on
            checks, error = [], traceback.format_exc()
        met = error is None and all(check.met for check in checks)
        console.print(f"{name} {'met' if met else 'NOT MET'}  {time.monotonic() - began:.0f} s  {what}")
        for check in checks:
            console.print(f"    {'' if check.met else 'NOT MET '}{check.name}: {check.figure}")
        if error:
            console.print(error, markup=False)
        results.append((name, checks, error))
    return results


def write_table(results: list[tuple[str, list[Check], str | None]]) -> None:
    """Replace the page's table between its markers."""
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    lines = [f"Kubernetes {VERSION}, {today}:", "", "| what happens | expected | measured | met |", "|---|---|---|---|"]
    for name, checks, error in results:
        what, expected, _ = TRIALS[name]
        said = "; ".join(f"{check.name} {check.figure}" for check in checks) or "the trial broke off"
        met = "yes" if error is None and all(check.met for check in checks) else "**no**"
        lines.append(f"| {what} | {expected} | {said} | {met} |")
    page = PAGE.read_text(encoding="utf-8")
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(f"{page[:begin]}\n{chr(10).join(lines)}\n{page[end:]}", encoding="utf-8")


async def main() -> int:
    """Play the trials and return the exit code: 0 if all are met, else 5."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.k8s", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=f"{', '.join(TRIALS)}; without any, all")
    parser.add_argument("--table", action="store_true", help="write the figures into docs/install-kubernetes.md")
    given = parser.parse_args()
    if unknown := [name for name in given.trials if name not in TRIALS]:
        parser.error(f"there is no trial {', '.join(unknown)}; the trials are {', '.join(TRIALS)}")
    with running(build_helm()) as cluster:
        image = await asyncio.to_thread(load_images, cluster)
        async with released(cluster, image) as release:
            results = await play(release, given.trials or list(TRIALS))
    if given.table:
        write_table(results)
    failed = [name for name, checks, error in results if error or not all(check.met for check in checks)]
    console.print(f"{len(results) - len(failed)} of {len(results)} trials met" + (f"; not: {failed}" if failed else ""))
    return 5 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
