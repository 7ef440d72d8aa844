"""Tests of what a demo shows."""

import io
from dataclasses import replace
from decimal import Decimal

import pytest
from rich.cells import cell_len
from rich.console import Console, Group

from connector.cli.demo import view
from tests.cli.demo.test_ledger import EVEN

TICK = {
    "BOND_ISNM": "국고03250-5303(23-2)",
    "STCK_PRPR": Decimal("10126.5000"),
    "PRDY_VRSS_SIGN": "2",
    "PRDY_VRSS": Decimal("12.5000"),
    "BOND_CNTG_ERT": Decimal("3.2564"),
    "ACML_VOL": 1_234_560,
}


def printed(renderable, width=100, **options):
    """Return the printed text."""
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(renderable)
    return console.file.getvalue()


def test_a_row_shows_the_latest_tick():
    """The row of a bond has name, price, change, yield, volume, number of ticks and state."""
    cells = [cell.plain for cell in view.row("KR103502GD31", "ACTIVE", TICK, 1_000)]
    assert cells == [
        "KR103502GD31",
        "국고03250-5303(23-2)",
        "10,126.50",
        "▲ 12.50",
        "3.256",
        "1,234,560",
        "1,000",
        "ACTIVE",
    ]
    assert len(cells) == len(view.COLUMNS)


def test_a_row_before_the_first_tick():
    """A bond that has not traded yet has dashes for figures."""
    assert [cell.plain for cell in view.row("KR103502GD31", "PENDING", None, 0)] == [
        "KR103502GD31",
        *["-"] * 5,
        "0",
        "PENDING",
    ]


def test_empty_columns_are_dashes():
    """Empty optional columns of a tick are shown as dashes without colour."""
    cells = view.row(
        "KR103502GD31", "ACTIVE", TICK | dict.fromkeys(("BOND_ISNM", "PRDY_VRSS_SIGN", "PRDY_VRSS", "BOND_CNTG_ERT")), 1
    )
    assert [cells[at].plain for at in (1, 3, 4)] == ["-", "-", "-"]
    assert cells[2].style == ""


@pytest.mark.parametrize(
    ("sign", "change", "shown", "style"),
    [
        ("1", "9", "▲ 9.00", view.UP_STYLE),
        ("2", "9", "▲ 9.00", view.UP_STYLE),
        ("3", "0", "0.00", ""),
        ("4", "-9", "▼ 9.00", view.DOWN_STYLE),
        ("5", "-9", "▼ 9.00", view.DOWN_STYLE),
    ],
)
def test_direction(sign, change, shown, style):
    """A rise is red with an arrow up and a fall blue with an arrow down, as on Korean screens."""
    cells = view.row("KR103502GD31", "ACTIVE", TICK | {"PRDY_VRSS_SIGN": sign, "PRDY_VRSS": Decimal(change)}, 1)
    assert (cells[3].plain, cells[3].style, cells[2].style) == (shown, style, style)
    assert ("red" in style) == (sign in "12")


def test_columns_line_up():
    """Korean letters take two cells each, and the columns to their right still line up."""
    rows = [
        view.row("KR103502GD31", "ACTIVE", TICK | {"BOND_ISNM": name}, 1) for name in ("국고", "마루에너지286-3", "A")
    ]
    lines = [line.plain for line in view.table(rows, 100, 10)][1:]
    assert len({cell_len(line[: line.index("10,126.50")]) for line in lines}) == 1


def test_colours_only_on_a_terminal():
    """Without a terminal the table has no control codes."""
    table = Group(*view.table([view.row("KR103502GD31", "ACTIVE", TICK, 1)], 100, 10))
    assert "\x1b[" not in printed(table)
    assert "\x1b[" in printed(table, force_terminal=True, color_system="standard")


def test_rows_that_do_not_fit():
    """Rows that do not fit the terminal are counted, and the output stays within its height."""
    rows = [view.row(f"KR{number:010}", "ACTIVE", None, 0) for number in range(50)]
    console = Console(file=io.StringIO(), width=100, height=24)
    console.print(view.live(rows, EVEN, ["slot 0 is BLOCKED"], ["Try:", "  tail"], console))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 24
    assert any(line.rstrip() == "and 34 more" for line in lines)
    assert any("received 9   delivered 9   dead-lettered 0   pending 0" in line for line in lines)
    assert [line.rstrip() for line in lines[-2:]] == ["Try:", "  tail"]


@pytest.mark.parametrize("width", [60, 80, 93, 120])
@pytest.mark.parametrize("state", ["ACTIVE", "WAITING_CAPACITY"])
def test_a_narrow_terminal(width, state):
    """Every line fits the terminal, and every row has its whole ISIN, price and state."""
    rows = [view.row(f"KR{number:010}", state, TICK, 1_000) for number in range(30)]
    console = Console(file=io.StringIO(), width=width, height=24)
    long = f"  export {'z' * 90}"
    console.print(view.live(rows, EVEN, [], ["Try:", long, "Ctrl-C ends it."], console))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 24
    assert max(map(cell_len, lines)) <= width
    shown = [line.split() for line in lines if line.startswith("KR")]
    assert len(shown) > 10
    assert all((row[0][:8], row[-1]) == ("KR000000", state) and "10,126.50" in row for row in shown)
    assert "".join(lines).count("z") == 90
    assert ("국고03250-5303(23-2)" in lines[1]) == (width >= 80)


def test_order():
    """The first bonds are in the order of their ISINs, and later ones are above them."""
    rows = view.Rows()
    assert rows.order(["C", "A", "B"]) == ["A", "B", "C"]
    assert rows.order(["A", "B", "C", "Z"]) == ["Z", "A", "B", "C"]
    assert rows.order(["A", "C", "Z"]) == ["Z", "A", "C"]


def test_line_and_summary():
    """The plain line and the summary have the ledger's figures."""
    assert (
        view.line(EVEN, 12, 11)
        == "11 of 12 bonds active; received 9   delivered 9   dead-lettered 0   pending 0   read back 9"
    )
    rows = [line.split()[:2] for line in printed(view.summary(EVEN)).splitlines()]
    assert rows[0] == ["sent", "9"]
    assert rows[-3:] == [["lost", "0"], ["backfilled", "0"], ["covered", "-"]]


def test_the_summary_names_what_a_fault_did():
    """The line of what was sent names frames, repeats and spoiled records."""
    faulty = replace(EVEN, frames=3, repeated=2, malformed=1)
    first, *_ = printed(view.summary(faulty)).splitlines()
    assert "ticks in 3 frames, by the simulator, 2 repeats among them, 1 spoiled beside them" in first
    first, *_ = printed(view.summary(EVEN)).splitlines()
    assert first.rstrip().endswith("ticks in 9 frames, by the simulator")


def test_the_covered_share_is_100_only_if_nothing_is_missing():
    """However little is missing, the summary does not say 100 %."""
    shares = [(7, 7), (999_999, 1_000_000), (1, 3), (0, 5)]
    shown = [
        printed(view.summary(replace(EVEN, covered_volume=covered, accumulated_volume=accumulated)))
        for covered, accumulated in shares
    ]
    assert [text.splitlines()[-1].split()[1] for text in shown] == ["100", "99.99", "33.33", "0.00"]


def test_foreign_text_is_shown_as_text():
    """A bond's name and a problem with control characters neither act on the terminal nor fold."""
    cells = view.row("KR103502GD31", "ACTIVE", TICK | {"BOND_ISNM": "\x1b[31m\n[red]x"}, 1)
    assert cells[1].plain == "\\x1b[31m\\n[red]x"
    console = Console(file=io.StringIO(), width=100, height=24)
    shown = printed(view.live([cells], EVEN, ["a\nb\x1b]52;c;aGk=\x07"], [], console))
    assert "a\\nb\\x1b]52;c;aGk=\\x07" in shown
    assert "\x1b" not in shown
