"""Runs an auditor for which every day is a trading day, so that tests may run on any day.

Usage: `python -m tests.app.audit.auditor_process`, with settings from the environment.
"""

import asyncio

from connector import logs
from connector.app import audit
from connector.settings import load

if __name__ == "__main__":
    settings = load(None)
    logs.configure(settings.log)
    asyncio.run(audit.run(settings, print, lambda _: True))
