"""Keeps the latest result of each row, and writes them as the table of docs/guarantee.md."""

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
PAGE = FOLDER.parents[1] / "docs" / "guarantee.md"
BEGIN, END = "<!-- table: make faults -->", "<!-- end of table -->"

# Checks every row has; the table gives them once, in its head.
COMMON = ("L", "R", "M", "ticks of each bond", "unknown ticks", "law broken", "exchange held up, s", "connects", "exit code")


def keep(result: dict[str, Any]) -> None:
    """Put one result in the place of the row's earlier one of the same length."""
    known = load()
    known[f"{result['row']} {result['variant']}"] = result
    RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load() -> dict[str, dict[str, Any]]:
    """Return the kept results by row and variant."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def table(known: dict[str, dict[str, Any]]) -> str:
    """Return the results as a Markdown table, in the order of the matrix."""
    lines = ["| row | fault | expected | measured | met | date | command |", "|---|---|---|---|---|---|---|"]
    for key in sorted(known, key=_order):
        result = known[key]
        figures = [f"{check['name']} {check['figure']}" + ("" if check["met"] else " **not met**") for check in result["checks"]]
        told = "; ".join(figures) or "the row broke off: " + str(result["error"]).strip().splitlines()[-1][:200]
        command = f"`make faults{'-full' if result['variant'] == 'full' else ''} ARGS={result['row']}`"
        cells = [result["row"], result["fault"], result["expected"], told, "yes" if result["met"] else "**no**", result["date"], command]
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def write_table() -> None:
    """Replace the table between the markers of the page."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(f"{page[:begin]}\n{table(load())}\n{page[end:]}", encoding="utf-8")


def _order(key: str) -> tuple[str, int, str]:
    number, variant = key.split()
    return number[0], int(re.sub(r"\D", "", number)), variant
