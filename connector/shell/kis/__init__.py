"""Keeps one slot's KIS session open and journals the session's frames."""

from connector.shell.kis.feed import KisFeed
from connector.shell.kis.live import FrameJournal

__all__ = ["FrameJournal", "KisFeed"]
