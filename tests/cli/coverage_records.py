"""Coverage records, written by hand and checked against the published schema."""

from datetime import date

import jsonschema

from tests.published import COVERAGE as SCHEMA

A, B, C = "KR103502GA34", "KR103502GD31", "KR6095572D81"
DAY = date(2026, 9, 11)


def side(text):
    """Return a neighbour traded at `HH:MM:SS` in UTC."""
    return {"traded_at": f"2026-09-11T{text}.000Z", "tick_id": "0" * 32}


def hole(low, high, cause="closed", state="OPEN", **changed):
    """Return a hole between 10:02:11 and 10:03:05 in Seoul."""
    made = {
        "id": f"{A}/2026-09-11/{low}-{high}",
        "from_volume": low,
        "to_volume": high,
        "remaining": [] if state == "FILLED" else [[low, high]],
        "after": side("01:02:11"),
        "before": side("01:03:05"),
        "cause": cause,
        "state": state,
        "announced": True,
    }
    return made | changed


def record(state="COMPLETE", *, total=1000, holes=(), ticks=10, offset=9, by="rest", reason=None):
    """Return the value of a record."""
    lacking = [sum(high - low for low, high in each["remaining"]) for each in holes]
    unwanted = sum(size for each, size in zip(holes, lacking, strict=True) if each["cause"] == "not_wanted")
    made = {
        "trade_date": "2026-09-11",
        "state": state,
        "reason": reason,
        "ticks": ticks,
        "repeats": 1,
        "irregular": 0,
        "covered_volume": total - sum(lacking),
        "accumulated_volume": total,
        "missing_volume": sum(lacking) - unwanted,
        "unwanted_volume": unwanted,
        "holes": list(holes),
        "checked": {"at": "2026-09-11T06:36:00.000Z", "accumulated_volume": total, "by": by} if by else None,
        "offsets": {"0": offset},
    }
    jsonschema.validate(made, SCHEMA)
    return made
