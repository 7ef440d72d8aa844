"""What the coverage records of one date say together: a row for each bond, and their sum."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connector.core.coverage.dates import parsed_ms, seoul_date
from connector.core.coverage.hole import NOT_WANTED
from connector.core.coverage.readable import COUNTS, RECORD_STATES
from connector.core.record_keys import INSTRUMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from connector.core.coverage.readable import Value

ABSENT: Final = "ABSENT"  # wanted on that day, but without a record
STATES: Final = (*RECORD_STATES, ABSENT)
NO_RECORD: Final[Mapping[str, Any]] = {"state": ABSENT, "reason": None, **dict.fromkeys(COUNTS, 0), "holes": []}


class Row(NamedTuple):
    """A bond and its record. A bond without one has the fields of NO_RECORD."""

    instrument: str
    value: Mapping[str, Any]

    @property
    def holes(self) -> list[dict[str, Any]]:
        """The holes of which something is missing."""
        return [each for each in self.value["holes"] if each["state"] != "FILLED"]


def wanted(status: Mapping[str, Mapping[str, Any]], trade_date: date) -> set[str]:
    """Return the bonds that were wanted on a date, by the status records of today.

    A bond whose `wanted_since` is lost counts as wanted.
    """
    found = set()
    for key, record in status.items():
        since_ms = parsed_ms(record.get("wanted_since"))
        if key.startswith(INSTRUMENT) and (since_ms is None or seoul_date(since_ms) <= trade_date):
            found.add(key.removeprefix(INSTRUMENT))
    return found


def rows(values: Mapping[str, Value], expected: Iterable[str]) -> list[Row]:
    """Return a row for each bond that has a record or is expected to have one."""
    return [Row(isin, values.get(isin, NO_RECORD)) for isin in sorted({*values, *expected})]


def total(shown: Sequence[Row]) -> dict[str, Any]:
    """Return the sums over all rows, and how many bonds are in each state."""
    states = Counter(row.value["state"] for row in shown)
    sums = {name: sum(row.value[name] for row in shown) for name in COUNTS}
    return {"bonds": len(shown), "states": {state: states[state] for state in STATES}, **sums}


def is_lacking(row: Row, trade_date: date, today: date) -> bool:
    """Return whether `--strict` finds fault with a row: missing, unproven, or never finished."""
    state = row.value["state"]
    return state in {ABSENT, "HOLES", "UNPROVEN"} or (state == "OPEN" and trade_date < today)


def missing_of(hole: Mapping[str, Any]) -> int:
    """Return how much of a hole is still missing."""
    return sum(high - low for low, high in hole["remaining"])


def is_wanted(hole: Mapping[str, Any]) -> bool:
    """Return whether a hole is missing volume, and not from before the bond was wanted."""
    return bool(hole["cause"] != NOT_WANTED)
