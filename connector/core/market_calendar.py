"""The hours of the Korea Exchange's bond market. They are advisory: KIS may trade at other times.

The general bond market is open from 09:00 to 15:30 in Seoul on the exchange's trading days. The
library knows the closed days, also those that depend on the moon or that the government adds.
Source of the hours: docs/kis-protocol.md, limits and sessions.
"""

from __future__ import annotations

import sys
from datetime import date, datetime, time
from importlib.util import find_spec, module_from_spec
from typing import Final

from holidays import financial_holidays

from connector.core.seoul_time import SEOUL

OPENS_AT: Final = time(9)
CLOSES_AT: Final = time(15, 30)
SATURDAY: Final = 5

# These packages import the calendars of all countries, 300 modules and 9 MB, before any module of
# theirs can be imported. Packages whose own code has not run let us import the exchange's alone.
for _package in ("holidays.countries", "holidays.financial"):
    if _package not in sys.modules and (_spec := find_spec(_package)) is not None:
        sys.modules[_package] = module_from_spec(_spec)
_closed_days: Final = financial_holidays("XKRX")


def is_open(at: datetime) -> bool:
    """Return whether the market trades at this time, which names its zone."""
    here = at.astimezone(SEOUL)
    return OPENS_AT <= here.time() < CLOSES_AT and is_trading_day(here.date())


def is_trading_day(day: date) -> bool:
    """Return whether the exchange is open on the date."""
    return day.weekday() < SATURDAY and day not in _closed_days
