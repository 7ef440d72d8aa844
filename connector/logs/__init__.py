"""Logs without secrets: set-up, redaction, and suppression of repeated lines."""

from connector.logs.peer_text import peer_text
from connector.logs.setup import (
    QueuedHandler,
    clean,
    clean_known,
    configure,
    hide,
    hide_issued,
    lines_left_out,
    write_to_stdout,
)

__all__ = [
    "QueuedHandler",
    "clean",
    "clean_known",
    "configure",
    "hide",
    "hide_issued",
    "lines_left_out",
    "peer_text",
    "write_to_stdout",
]
