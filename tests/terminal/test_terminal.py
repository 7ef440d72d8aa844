"""What people see of the demo and of the commands beside it, on a terminal of 80 columns."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.text import Text

from tests.terminal.terminal import COLUMNS, LINES, demo, interrupt, output

pytestmark = pytest.mark.slow
SPARE = "KR103502GA34"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def running():
    """Give a demo in a terminal and the variables of the second terminal, once a bond was added."""
    with tempfile.TemporaryDirectory(prefix="kis-", dir="/tmp") as folder, demo(folder) as (terminal, variables):
        added = output(["subs", "add", SPARE, "--wait", "60"], variables)
        assert f"{SPARE} is ACTIVE." in added
        yield terminal, variables


def plain(text):
    """Return the lines of a drawing without colours and trailing blanks."""
    return [line.rstrip() for line in Text.from_ansi(text).plain.split("\n")]


def test_the_demo_fits_a_usual_terminal(running):
    """Every bond has its own row with its whole ISIN, price and state, and every hint is whole."""
    terminal, variables = running
    drawn = terminal.wait_for(lambda screen: f"\n{SPARE}" in screen and "PENDING" not in screen and screen)
    lines = plain(drawn)
    assert len(lines) <= LINES
    assert max(map(cell_len, lines)) <= COLUMNS
    rows = [line.split() for line in lines if re.match("KR[0-9A-Z]{10} ", line)]
    assert len(rows) == len({row[0] for row in rows}) == 13
    assert {row[-1] for row in rows} == {"ACTIVE"}
    assert f"  export KIS_BOND_CONFIG={variables['KIS_BOND_CONFIG']}" in lines
    assert [line for line in lines if line][-1].startswith("Page http://127.0.0.1:")


@pytest.mark.parametrize(
    ("arguments", "least"),
    [
        ("subs ls", 80),
        ("subs lists", 60),
        ("status", 60),
        ("status --url http://127.0.0.1:1", 60),
        ("tail --last 5 -n 5", 40),
        ("tail --since 2026-01-01T00:00:00Z -n 5", 60),
    ],
)
def test_every_command_fits_its_terminal(running, arguments, least):
    """No line is wider than the terminal, and each bond's ISIN is whole."""
    _, variables = running
    for columns in sorted({least, 80}):
        lines = plain(output(arguments.split(), variables, columns))
        assert [line for line in lines if cell_len(line) > columns] == []
        has_isins = any(re.search("KR[0-9A-Z]{10}( |$)", line) for line in lines)
        assert has_isins == (not arguments.startswith("status"))


def test_the_readers_own_consumer(running, tmp_path):
    """The consumer that README shows prints ticks of the demo."""
    terminal, _ = running
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "own.py").write_text(program)
    broker = terminal.wait_for(lambda screen: re.search(r"Kafka ([0-9.:]+)", screen))[1]
    command = [sys.executable, tmp_path / "own.py", broker]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            printed = [process.stdout.readline().split() for _ in range(5)]
        finally:
            process.kill()
    assert all(re.fullmatch("KR[0-9A-Z]{10}", isin) and float(price) > 0 for isin, *_, price in printed)


def test_the_demo_ends_with_its_summary(running):
    """Ctrl-C ends the demo with figures that add up, and leaves the terminal as it was."""
    terminal, _ = running
    interrupt(terminal)
    drawn = terminal.finish(90).replace("\r\n", "\n")
    assert terminal.process.returncode == 0
    summary = plain(drawn.rpartition("\x1b[?1049l")[2])
    assert max(map(cell_len, summary)) <= COLUMNS
    assert "Every tick sent was received, delivered and read back." in summary
