"""Measures what one connector carries, with the simulator and a real Kafka: `make capacity-test`.

Examples:
  python -m tests.capacity            measure, and end with 5 where a figure is beyond its bound
  python -m tests.capacity --write    and put the figures into docs/capacity.md
"""

import argparse
import asyncio
import json
import platform
import sys
import tempfile
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.capacity import measure
from tests.capacity.measure import Figure
from tests.conftest import TopicNames
from tests.kafka.launcher import find_kafka

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"
BEGIN, END = "<!-- figures: make capacity-test ARGS=--write -->", "<!-- end of figures -->"
console = Console(highlight=False, soft_wrap=True)


async def main() -> dict[str, list[Figure]]:
    """Measure part after part, each with topics and a folder of its own."""
    measured: dict[str, list[Figure]] = {}
    cluster = find_kafka()
    try:
        for part, work in {
            "start, KIS counting approval keys for each app key": lambda *at: measure.start(*at, "for each app key"),
            "start, KIS counting approval keys of all app keys together": lambda *at: measure.start(*at, "together"),
            "changes while 1,000 bonds tick": measure.changes,
        }.items():
            names = TopicNames(
                *(f"capacity-{uuid.uuid4().hex[:8]}.{name.replace('_', '-')}" for name in TopicNames.__slots__)
            )
            with tempfile.TemporaryDirectory() as folder:
                measured[part] = await work(cluster.bootstrap_servers, names, Path(folder))
            show(part, measured[part])
    finally:
        cluster.close()
    return measured


def show(part: str, figures: list[Figure]) -> None:
    """Print one part's figures."""
    console.print(f"[bold]{part}[/]")
    for figure in figures:
        mark = "" if figure.met else "[red]NOT MET[/] "
        console.print(f"  {mark}{figure.what}: {number(figure.value)} {figure.unit}{bound(figure)}")


def number(value: float) -> str:
    """Return a figure with a sensible number of digits."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def bound(figure: Figure) -> str:
    """Return the bound in words."""
    return "" if figure.bound is None else f" (at most {number(figure.bound)})"


def page(measured: dict[str, list[Figure]]) -> str:
    """Return the tables of the page."""
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {machine}, two virtual cores.",
        "",
    ]
    for part, figures in measured.items():
        lines += [f"### {part[0].upper()}{part[1:]}", "", "| what | measured | at most |", "|---|--:|--:|"]
        lines += [
            f"| {each.what} | {number(each.value)} {each.unit}{'' if each.met else ' **not met**'} "
            f"| {'' if each.bound is None else number(each.bound)} |"
            for each in figures
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.capacity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the figures into docs/capacity.md")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON at the end")
    given = parser.parse_args()
    found = asyncio.run(main())
    if given.json:
        print(json.dumps({part: [asdict(figure) for figure in figures] for part, figures in found.items()}))  # noqa: T201 - for scripts
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        PAGE.write_text(f"{text[:begin]}\n{page(found)}{text[end:]}", encoding="utf-8")
    sys.exit(0 if all(figure.met for figures in found.values() for figure in figures) else 5)
