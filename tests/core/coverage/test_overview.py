"""What the records of one date say together."""

from datetime import date

import pytest

from connector.core.coverage import overview
from connector.core.coverage.overview import NO_RECORD, Row, is_lacking, rows, total, wanted
from tests.core.coverage.trades import FRIDAY, ISIN, MONDAY, value

OTHER = "KR6095572D81"


def test_a_bond_was_wanted_if_it_was_asked_for_by_then():
    """A bond whose `wanted_since` is lost counts as wanted."""
    status = {
        "instrument/KR103502GA34": {"wanted_since": "2026-09-11T14:59:59Z"},
        "instrument/KR6095572D81": {"wanted_since": "2026-09-11T15:00:00Z"},
        "instrument/KR2033022D33": {"wanted_since": None},
        "slot/0": {"wanted_since": None},
    }
    assert wanted(status, FRIDAY) == {ISIN, "KR2033022D33"}
    assert wanted(status, date(2026, 9, 12)) == {ISIN, OTHER, "KR2033022D33"}


def test_a_wanted_bond_without_a_record_is_absent():
    """It has a row, and counts nothing."""
    found = rows({ISIN: value()}, [OTHER])
    assert [(row.instrument, row.value["state"]) for row in found] == [(ISIN, "HOLES"), (OTHER, "ABSENT")]
    sums = total(found)
    assert (sums["bonds"], sums["states"]["HOLES"], sums["states"]["ABSENT"]) == (2, 1, 1)
    assert (sums["ticks"], sums["covered_volume"], sums["accumulated_volume"], sums["missing_volume"]) == (
        2,
        20,
        40,
        20,
    )


def test_filled_holes_are_no_longer_holes():
    """A row shows what is still missing."""
    filled = {**value()["holes"][0], "state": "FILLED", "remaining": []}
    assert Row(ISIN, value(holes=[filled])).holes == []
    (hole,) = Row(ISIN, value()).holes
    assert (overview.missing_of(hole), overview.is_wanted(hole)) == (20, True)
    assert not overview.is_wanted({**hole, "cause": "not_wanted"})


@pytest.mark.parametrize(
    ("state", "today", "is_it"),
    [
        ("COMPLETE", MONDAY, False),
        ("OPEN", FRIDAY, False),
        ("OPEN", MONDAY, True),
        ("HOLES", FRIDAY, True),
        ("UNPROVEN", FRIDAY, True),
    ],
)
def test_what_strict_finds_fault_with(state, today, is_it):
    """A day may be open only while it lasts."""
    assert is_lacking(Row(ISIN, value(state=state)), FRIDAY, today) is is_it
    assert is_lacking(Row(ISIN, NO_RECORD), FRIDAY, today)
