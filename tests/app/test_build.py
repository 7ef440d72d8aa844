"""The parts are made once and know one another."""

import signal

import pytest

from connector.app import build, opened
from connector.core.event import Event
from connector.errors import CredentialsRefused
from tests.app.settings import settings_of_one

AT = "2026-01-02T00:00:00.000Z"


@pytest.mark.parametrize("was_up", [True, False])
async def test_a_key_refused_while_running_ends_nothing(tmp_path, was_up):
    """Once a session was open, refused app keys are blocked slots; before that they end the process."""
    async with opened(settings_of_one(tmp_path)) as connector:
        parts = connector.report._parts
        if was_up:
            parts.events.record(Event("session_up", AT, 0, None, {}))
        parts.slots.feeds[0]._key_supply.refused = CredentialsRefused("EGW00103")
        parts.plan._on_round()
        assert (connector.refusal is None, parts.stop.reason is None) == (was_up, was_up)


async def test_the_port_is_the_one_that_is_bound(tmp_path):
    """With `http.port` 0 the system chooses, and the connector says which."""
    async with opened(settings_of_one(tmp_path)) as connector:
        assert connector.port > 0


async def test_a_run_ends_with_zero_and_gives_the_signals_back(tmp_path):
    """`run` ends on SIGTERM; nothing being pending the exit code is 0, and the handlers before it are in place again."""
    before = signal.getsignal(signal.SIGTERM)
    code = await build.run(settings_of_one(tmp_path), lambda _: signal.raise_signal(signal.SIGTERM))
    assert code == 0
    assert signal.getsignal(signal.SIGTERM) == before
