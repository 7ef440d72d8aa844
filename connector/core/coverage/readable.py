"""Tells coverage records from whatever else somebody may have written to the coverage topic."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from connector.core.coverage.dates import parsed_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RECORD_STATES: Final = ("COMPLETE", "OPEN", "HOLES", "UNPROVEN")
LONGEST_TEXT: Final = 100  # an id has at most 63 characters, a cause 40
MOST: Final = 2**63  # of a count: an offset of Kafka has 63 bits, a volume of KIS 18 digits
HOLE_STATES: Final = ("OPEN", "FILLED", "CONFIRMED")
COUNTS: Final = (
    "ticks",
    "repeats",
    "irregular",
    "covered_volume",
    "accumulated_volume",
    "missing_volume",
    "unwanted_volume",
)
FIELDS: Final = ("trade_date", "state", "reason", *COUNTS, "holes", "checked", "offsets")
HOLE: Final = ("id", "from_volume", "to_volume", "remaining", "state", "cause", "announced", "after", "before")
SIDES: Final = ("after", "before")
SIDE: Final = ("tick_id", "traded_at")
CHECK: Final = ("at", "accumulated_volume", "by")

# A piece of `remaining` takes ten times as much memory as its text, other fields four times as
# much. So where bytes are bounded, a piece counts as so many more.
PIECE_BYTES: Final = 64

# The value of a coverage record, as it was read.
Value = dict[str, Any]


def readable(value: bytes) -> Value | None:
    """Return a record's value, None if it is not a coverage record. Never raises.

    It has no fields but those of `schemas/coverage.schema.json`: others may hold anything.
    """
    try:
        found = json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not (isinstance(found, dict) and _is_record(found)):
        return None
    record = _known(found, FIELDS)
    record["holes"] = [_known(hole, HOLE) | {side: _side(hole[side]) for side in SIDES} for hole in found["holes"]]
    if found.get("checked") is not None:
        record["checked"] = _known(found["checked"], CHECK)
    return record


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _known(fields: Mapping[str, Any], names: Iterable[str]) -> Value:
    return {name: fields[name] for name in names if name in fields}


def _side(side: Mapping[str, Any] | None) -> Value | None:
    return None if side is None else _known(side, SIDE)


def _is_record(value: Value) -> bool:
    return (
        ("trade_date" not in value or _is_short(value["trade_date"]))
        and value.get("state") in RECORD_STATES
        and _is_text(value, "reason")
        and _are_counts(value, COUNTS)
        and _are_holes(value.get("holes"), value["accumulated_volume"])
        and _is_check(value.get("checked"))
        and _are_offsets(value.get("offsets"))
    )


def _is_text(fields: Mapping[str, Any], name: str) -> bool:
    """Return whether a field is there and has null or a text that is not long."""
    return name in fields and (fields[name] is None or _is_short(fields[name]))


def _is_short(text: Any) -> bool:
    """Return whether this is a text that is not long, without halves of surrogate pairs."""
    return isinstance(text, str) and len(text) <= LONGEST_TEXT and not re.search("[\ud800-\udfff]", text)


def _are_counts(fields: Mapping[str, Any], names: Iterable[str]) -> bool:
    return all(type(fields.get(name)) is int and 0 <= fields[name] < MOST for name in names)


def _are_holes(holes: Any, top: int) -> bool:
    """Return whether these are holes of (0, `top`], in ascending order and apart."""
    if not isinstance(holes, list) or not all(isinstance(each, dict) and _is_hole(each) for each in holes):
        return False
    bounds = [0, *(bound for each in holes for bound in (each["from_volume"], each["to_volume"])), top]
    return all(low <= high for low, high in pairwise(bounds))


def _is_hole(hole: Mapping[str, Any]) -> bool:
    return (
        _are_counts(hole, ("from_volume", "to_volume"))
        and _are_stretches(hole.get("remaining"), hole["from_volume"], hole["to_volume"])
        and hole.get("state") in HOLE_STATES
        and _is_text(hole, "id")
        and _is_text(hole, "cause")
        and (hole["id"] is None or hole["cause"] is not None)
        and isinstance(hole.get("announced"), bool)
        and all(side in hole and _is_side(hole[side]) for side in SIDES)
    )


def _are_stretches(stretches: Any, low: int, high: int) -> bool:
    """Return whether these are stretches of (`low`, `high`], in ascending order and apart."""
    if not isinstance(stretches, list):
        return False
    last = low
    for each in stretches:
        if not (isinstance(each, list) and len(each) == 2 and all(type(one) is int for one in each)):
            return False
        if not last <= each[0] < each[1] <= high:
            return False
        last = each[1]
    return True


def _is_side(side: Any) -> bool:
    return side is None or (
        isinstance(side, dict) and _is_short(side.get("tick_id")) and parsed_ms(side.get("traded_at")) is not None
    )


def _is_check(checked: Any) -> bool:
    return checked is None or (
        isinstance(checked, dict)
        and checked.get("by") in ("rest", "ticks")
        and parsed_ms(checked.get("at")) is not None
        and _are_counts(checked, ("accumulated_volume",))
    )


def _are_offsets(offsets: Any) -> bool:
    return (
        isinstance(offsets, dict)
        and all(len(partition) < 10 and partition.isdecimal() for partition in offsets)
        and _are_counts(offsets, offsets)
    )
