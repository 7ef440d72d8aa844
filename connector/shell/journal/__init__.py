"""Keeps every received frame until Kafka acknowledged it, and for a while after."""

from connector.shell.journal.file import Block, JournalFile
from connector.shell.journal.journal import Journal, Loss

__all__ = ["Block", "Journal", "JournalFile", "Loss"]
