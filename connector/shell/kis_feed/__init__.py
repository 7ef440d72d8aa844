"""Keeps one slot's KIS session open and journals what it brings."""

from connector.shell.kis_feed.feed import KisFeed
from connector.shell.kis_feed.live import FrameJournal

__all__ = ["FrameJournal", "KisFeed"]
