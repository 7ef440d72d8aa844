"""Draws the documentation's pictures of the terminal.

Example:
  python -m tests.terminal.pictures
"""

import io
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.terminal.terminal import COLUMNS, PROGRAM, demo, output

DOCS = Path(__file__).parents[2] / "docs"
SPARE = "KR103502GA34"
COMMANDS = ("subs add KR103502GA34 --wait 30", "subs ls --list KR103502GA34", "tail --last 8 -n 8", "status")
# The font comes from another host, which a reader's browser must not be made to ask.
_FOREIGN = re.compile(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", re.DOTALL)


def take(folder):
    """Draw the pictures and return their paths."""
    with tempfile.TemporaryDirectory(prefix="kis-", dir="/tmp") as scratch, demo(scratch) as (terminal, variables):
        shown = []
        for command in COMMANDS:
            shown += [
                Text(f"$ kis-bond {command}", "bold"),
                Text.from_ansi(output(command.split(), variables).rstrip()),
            ]
        drawn = terminal.wait_for(lambda screen: f"\n{SPARE}" in screen and "PENDING" not in screen and screen)
        live = Text.from_ansi(drawn.replace(scratch, "/tmp").replace(PROGRAM, ".venv/bin/kis-bond"))
    return [
        _save(folder / "terminal-demo.svg", "make demo", [live]),
        _save(folder / "terminal-commands.svg", "a second terminal", shown),
    ]


def _save(path, title, texts):
    console = Console(file=io.StringIO(), record=True, width=COLUMNS, force_terminal=True, color_system="truecolor")
    for text in texts:
        console.print(text, soft_wrap=True)
    svg = console.export_svg(title=title, unique_id=path.stem)
    path.write_text(_FOREIGN.sub("", svg) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    for taken in take(DOCS):
        sys.stdout.write(f"{taken}\n")
