"""Progress is a line on stderr, and quick commands show none."""

import sys

from connector.cli import progress
from connector.cli.progress import Progress


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def monotonic(self):
        """Return the time."""
        return self.now


def test_outside_a_terminal_a_line_appears_every_ten_seconds(capsys, monkeypatch):
    """A log gets a line now and then, and stdout nothing."""
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    shown = Progress()
    for clock.now in (1, 9.9, 10, 15, 20.5):
        shown.show(f"at {clock.now}")
    shown.end()
    captured = capsys.readouterr()
    assert captured.err == "at 10\nat 20.5\n"
    assert not captured.out


def test_on_a_terminal_the_line_is_written_over_and_removed(capsys, monkeypatch):
    """Each text replaces the one before, and the end leaves nothing."""
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = Progress()
    for clock.now in (0.1, 0.5, 1):
        shown.show(f"at {clock.now}")
    shown.end()
    assert capsys.readouterr().err == "\r\x1b[Kat 0.5\r\x1b[Kat 1\r\x1b[K"
