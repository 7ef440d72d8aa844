"""Saves the latest result of each row, and writes all as the table of docs/guarantee.md."""

import json
import re
from pathlib import Path
from typing import Any

from tests.faults.row import ACCESS

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
PAGE = FOLDER.parents[1] / "docs" / "guarantee.md"
BEGIN, END = "<!-- table: make faults -->", "<!-- end of table -->"

AUDITED = "M, by the auditor"  # its trades, and the causes of its holes

# Checks of every row; shown only if they fail, because the ledger has their figures.
COMMON = frozenset(
    {
        *(
            "L",
            "R",
            "M",
            AUDITED,
            "bonds with ticks in several partitions",
            "ticks of each bond",
            "unknown ticks",
            "law broken",
            "exchange held up, s",
            "connects",
            "exit code",
        ),
        *("received, kept and not decoded", "acknowledged and not read back"),
    }
)
# The ledger's figures: the table's column, the word of a line, the name in a result.
LEDGER = (
    ("sent", "sent", "sent"),
    ("received", "received", "received"),
    ("delivered", "delivered", "delivered"),
    ("L", "lost", "lost"),
    ("M", "missed", "missed"),
    ("D", "duplicates", "duplicates"),
    ("R", "inversions", "inversions"),
    ("U, s", "longest gap, s", "longest_gap_seconds"),
    ("T, s", "time to catch up, s", "catch_up_seconds"),
    ("memory, MiB", "peak memory, MiB", "peak_rss_mb"),
    ("journal, MiB", "peak journal, MiB", "peak_journal_mb"),
    ("connects", "connection attempts", "connects"),
    ("rebuilds", "rebuilds", "rebuilds"),
)


def keep(result: dict[str, Any]) -> None:
    """Put one result in the place of the row's earlier one of the same length."""
    known = load()
    known[f"{result['row']} {result['variant']}"] = result
    RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load() -> dict[str, dict[str, Any]]:
    """Return the saved results by row and variant."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def lines(result: dict[str, Any]) -> list[str]:
    """Return the ledger of each of a row's runs as one line."""
    return ["  ".join(f"{word} {ledger[name]:,}" for _, word, name in LEDGER) for ledger in result.get("ledgers", [])]


def own_checks(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row's own checks, and each common check that failed or is in no ledger."""
    return [
        check
        for check in result["checks"]
        if check["name"] not in COMMON or not check["met"] or not result.get("ledgers")
    ]


def table(known: dict[str, dict[str, Any]]) -> str:
    """Return the results in Markdown, in matrix order: machine, verdict of each row, ledgers."""
    results = [known[key] for key in sorted(known, key=_order)]
    verdicts = [
        "| row | fault | expected | measured beside the ledger | met | date | command |",
        "|---|---|---|---|---|---|---|",
    ]
    heads = [head for head, _, _ in LEDGER]
    ledgers = [f"| row | {' | '.join([*heads, AUDITED])} |", "|---|" + "---:|" * len(LEDGER) + "---|"]
    for result in results:
        figures = [
            f"{check['name']} {check['figure']}" + ("" if check["met"] else " **not met**")
            for check in own_checks(result)
        ]
        if result["error"]:
            figures.insert(0, f"the row broke off: {_last_words(result['error'])}")
        met = "yes" if result["met"] else "**no**"
        verdicts.append(
            _cells(
                result["row"],
                result["fault"],
                result["expected"],
                "; ".join(figures),
                met,
                result["date"],
                _command(result),
            )
        )
        for ledger in result.get("ledgers", []):
            name = result["row"] + (" full" if result["variant"] == "full" else "")
            figures = [f"{ledger[figure]:,}" for _, _, figure in LEDGER]
            ledgers.append(_cells(name, *figures, _audited(result)))
    return "\n".join([*_machines(results), "", *verdicts, "", *ledgers])


def _command(result: dict[str, Any]) -> str:
    """Return the command that plays the row."""
    if result["row"].startswith(ACCESS):
        arguments = f'"--full {result["row"]}"' if result["variant"] == "full" else result["row"]
        return f"`make access-test ARGS={arguments}`"
    return f"`make faults{'-full' if result['variant'] == 'full' else ''} ARGS={result['row']}`"


def _audited(result: dict[str, Any]) -> str:
    """Return what the auditor misses with its causes, if the row asks the auditor."""
    return next((check["figure"] for check in result["checks"] if check["name"] == AUDITED), "")


def _machines(results: list[dict[str, Any]]) -> list[str]:
    """Return one line for each machine, with its rows if there are several machines."""
    played: dict[str, list[str]] = {}
    for result in results:
        played.setdefault(result["machine"], []).append(result["row"])
    if len(played) == 1:
        return [f"Machine: {machine}." for machine in played]
    return [f"* Machine: {machine}: {', '.join(dict.fromkeys(rows))}" for machine, rows in played.items()]


def _cells(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def _last_words(error: str) -> str:
    """Return the first line of a traceback's exception."""
    message = re.split(r"^(?=[\w.]+(?:Error|Exception|Trouble)\b)", error, flags=re.MULTILINE)[-1]
    return message.strip().splitlines()[0][:200]


def write_table() -> None:
    """Replace the table between the markers of the page."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(f"{page[:begin]}\n{table(load())}\n{page[end:]}", encoding="utf-8")


def _order(key: str) -> tuple[str, int, str]:
    number, variant = key.split()
    return number[0], int(re.sub(r"\D", "", number)), variant
