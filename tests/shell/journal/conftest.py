"""A journal that a test opens again and again."""

import pytest

from connector.settings import JournalSettings
from connector.shell.journal import Journal


@pytest.fixture
async def opened(tmp_path):
    """Return a function that opens the journal again; `losses` lists what was reported."""
    current, losses = [], []

    async def close():
        for each in current:
            if each.is_alive:
                await each.close()

    async def open_journal(**changes):
        await close()
        settings = JournalSettings(path=tmp_path / "journal").model_copy(update=changes)
        current[:] = [await Journal.open(settings, losses.append)]
        return current[0]

    open_journal.losses = losses
    yield open_journal
    await close()
