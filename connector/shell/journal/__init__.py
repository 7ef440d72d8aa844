"""Keeps every received frame until Kafka has acknowledged it, and for some time after."""

from connector.shell.journal.file import Block, JournalFile
from connector.shell.journal.journal import Journal, Loss, LossReason

__all__ = ["Block", "Journal", "JournalFile", "Loss", "LossReason"]
