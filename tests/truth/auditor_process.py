"""Runs an auditor whose clock shows another time, and goes on from there at its usual speed.

Usage: `python -m tests.truth.auditor_process MS`, with settings from the environment. `MS` is the
time at the start, in ms since 1970.
"""

import asyncio
import sys

from connector import logs
from connector.app import audit
from connector.app.audit import auditor, rest_round
from connector.settings import load
from tests.truth.world import is_trading_day

if __name__ == "__main__":
    true_ms = auditor.now_ms
    ahead_ms = int(sys.argv[1]) - true_ms()
    auditor.now_ms = rest_round.now_ms = lambda: true_ms() + ahead_ms
    settings = load(None)
    logs.configure(settings.log)
    asyncio.run(audit.run(settings, print, is_trading_day))
