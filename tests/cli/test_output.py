"""Tests of what commands print."""

from connector.cli.output import print_table


def test_piped_rows_stay_whole(capsys):
    """Without a terminal every row is one line without colours, however long it is."""
    print_table(("name", "why"), [("a", "x" * 500), ("채권", "b")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["name  why", f"a     {'x' * 500}", "채권  b"]


def test_brackets_are_text(capsys):
    """Square brackets in data are not markup."""
    print_table(("why",), [("[Error 3] [red]x[/red]",)])
    assert "[Error 3] [red]x[/red]" in capsys.readouterr().out
