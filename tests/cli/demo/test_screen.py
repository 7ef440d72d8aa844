"""Tests of the screens of a demo."""

import io
from collections import Counter
from types import SimpleNamespace

import pytest
from rich.console import Console

from connector.cli.demo import screen
from connector.cli.demo.screen import LiveTable, PlainLines, screen_for
from tests.cli.demo.test_ledger import EVEN
from tests.cli.demo.test_view import TICK

PIPELINE = SimpleNamespace(
    instruments=lambda: {"KR103502GD31": {"state": "ACTIVE"}}, ledger=lambda: EVEN, problems=lambda: ["slot 0 waits"]
)
READER = SimpleNamespace(latest={"KR103502GD31": TICK}, ticks=Counter(KR103502GD31=7))


def console(**options):
    """Return a console that writes into memory."""
    return Console(file=io.StringIO(), width=100, height=30, **options)


async def test_the_live_table_leaves_the_terminal_as_it_was():
    """The table is drawn on the alternate screen, and the first screen is restored at the end."""
    out = console(force_terminal=True)
    with LiveTable(out, ["Try"]) as live:
        await live.show(PIPELINE, READER)
    text = out.file.getvalue()
    assert "10,126.50" in text
    assert "slot 0 waits" in text
    assert text.index("\x1b[?1049h") < text.index("10,126.50") < text.rindex("\x1b[?1049l")


async def test_plain_lines(monkeypatch):
    """Elsewhere the hints are printed once, and a line of figures at most every few seconds."""
    out = console()
    with PlainLines(out, ["Try", "  [this]"]) as lines:
        await lines.show(PIPELINE, READER)
        assert out.file.getvalue() == "Try\n  [this]\n"
        monkeypatch.setattr(screen.time, "monotonic", lambda: 1e12)
        await lines.show(PIPELINE, READER)
        await lines.show(PIPELINE, READER)
    assert out.file.getvalue().splitlines()[2:] == [
        "1 of 1 bonds active: 9 received, 9 delivered, 9 read back",
        "  slot 0 waits",
    ]


@pytest.mark.parametrize(
    ("terminal", "live", "kind"), [(True, True, LiveTable), (True, False, PlainLines), (False, True, PlainLines)]
)
def test_a_table_only_on_a_terminal(terminal, live, kind):
    """The table is drawn only if it is wanted and there is a terminal."""
    assert type(screen_for(console(force_terminal=terminal), [], live=live)) is kind


async def test_plain_lines_show_foreign_text_as_text(monkeypatch):
    """A problem with a line break and control characters stays one line of text."""
    pipeline = SimpleNamespace(**vars(PIPELINE) | {"problems": lambda: ["a\nb\x1b[31m [red]"]})
    out = console()
    with PlainLines(out, []) as lines:
        monkeypatch.setattr(screen.time, "monotonic", lambda: 1e12)
        await lines.show(pipeline, READER)
    assert out.file.getvalue().splitlines()[1:] == ["  a\\nb\\x1b[31m [red]"]
