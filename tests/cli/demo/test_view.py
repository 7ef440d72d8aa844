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
    assert any(line.rstrip() == "and 35 more: 35 ACTIVE" for line in lines)
    figures = lines.index(
        next(line for line in lines if line.startswith("received  delivered  dead-lettered  pending"))
    )
    assert lines[figures + 1].split() == ["9", "9", "0", "0", "9"]
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
    """Bonds that traded are above those that wait; among them later ones are at the top."""
    rows = view.Rows()
    assert rows.order(["C", "A", "B"], {"B", "C"}) == ["B", "C", "A"]
    assert rows.order(["A", "B", "C", "Z"], {"B", "C"}) == ["B", "C", "Z", "A"]
    assert rows.order(["A", "B", "C", "Z"], {"B", "C", "Z"}) == ["Z", "B", "C", "A"]
    assert rows.order(["A", "C", "Z"], {"C", "Z"}) == ["Z", "C", "A"]


def test_every_row_is_shown_if_there_is_room():
    """Rows that fit exactly are all shown; if one does not fit, the last line counts two."""
    rows = [view.row(f"KR{number:010}", "PENDING", None, 0) for number in range(5)]
    for height, seen in ((12, 5), (11, 3)):
        console = Console(file=io.StringIO(), width=100, height=height)
        console.print(view.live(rows, EVEN, [], ["Try:", "  tail"], console))
        lines = console.file.getvalue().splitlines()
        assert len(lines) == height
        assert sum(line.startswith("KR") for line in lines) == seen
        assert any(line.rstrip() == "and 2 more: 2 PENDING" for line in lines) == (seen == 3)


def test_large_figures_fit_the_terminal():
    """The figures stand below their names, and fit 80 columns however long the demo runs."""
    large = replace(EVEN, received=123_456_789, delivered=123_456_789, read_back=123_456_789, dead_lettered=1_234_567)
    console = Console(file=io.StringIO(), width=80, height=24)
    console.print(view.live([], large, ["x"], [], console))
    names, figures = console.file.getvalue().splitlines()[2:4]
    assert names.split() == ["received", "delivered", "dead-lettered", "pending", "read", "back"]
    assert figures.split() == ["123,456,789", "123,456,789", "1,234,567", "0", "123,456,789"]
    assert max(len(names), len(figures)) <= 80


def test_line_and_summary():
    """The plain line and the summary have the ledger's figures."""
    assert view.line(EVEN, 12, 11) == "11 of 12 bonds active: 9 received, 9 delivered, 9 read back"
    faulty = view.line(replace(EVEN, pending=2, dead_lettered=1), 12, 12)
    assert faulty.endswith("9 read back, 2 pending, 1 dead-lettered")
    rows = [line.split()[:2] for line in printed(Group(*view.summary(EVEN))).splitlines()]
    assert rows[0] == ["sent", "9"]
    assert rows[-3:] == [["lost", "0"], ["backfilled", "0"], ["covered", "-"]]


def test_the_summary_names_what_a_fault_did():
    """What the simulator repeated and spoiled has lines of its own, if there is any."""
    faulty = replace(EVEN, frames=3, repeated=2, malformed=1)
    lines = printed(Group(*view.summary(faulty))).splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["sent", "9"], ["repeated", "2"], ["spoiled", "1"]]
    assert lines[0].endswith("ticks in 3 frames, by the simulator")
    assert len({line.index(end) + len(end) for line, end in zip(lines[:3], "921", strict=True)}) == 1
    first, second, *_ = printed(Group(*view.summary(EVEN))).splitlines()
    assert (first.endswith("ticks in 9 frames, by the simulator"), second.split()[0]) == (True, "received")


def test_the_summary_is_lines_without_blanks_at_their_ends():
    """Every line fits a usual terminal, with large figures too, and no line ends with a blank."""
    large = dict.fromkeys(("frames", "sent", "received", "delivered", "read_back", "repeated", "malformed"), 12_345_678)
    lines = [line.plain for line in view.summary(replace(EVEN, **large, accumulated_volume=10**12))]
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip()] == []


def test_the_covered_share_is_100_only_if_nothing_is_missing():
    """However little is missing, the summary does not say 100 %."""
    shares = [(7, 7), (999_999, 1_000_000), (1, 3), (0, 5)]
    shown = [
        printed(Group(*view.summary(replace(EVEN, covered_volume=covered, accumulated_volume=accumulated))))
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
