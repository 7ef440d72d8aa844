"""A share of many rows, so that `.ci/run` ends in time. Which share follows from the commit."""

import argparse
import subprocess
from collections.abc import Sequence
from pathlib import Path


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option `--share`."""
    parser.add_argument(
        "--share", type=int, default=1, metavar="N", help="play one of N shares of the rows, which the commit chooses"
    )


def share_of(rows: Sequence[str], shares: int, commit: str | None = None) -> list[str]:
    """Return one of so many shares of the rows; `commit` is in hexadecimal, or None for ours."""
    return list(rows[int(commit or _commit(), 16) % shares :: shares])


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "0"
