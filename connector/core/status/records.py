"""The status records: their formats, and what a reader learns from them.

The formats are a contract: schemas/status_*.schema.json. Times are RFC 3339 in UTC and come
from the caller.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypedDict

from connector.core.kis.approval import REFUSED_FOR_GOOD
from connector.core.record_keys import INSTRUMENT, SLOT
from connector.core.slots.placement import Places

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from connector.core.kis.slot_view import SlotView


# Contract of the status topic: an owner writes every 30 s. After 90 s of silence it counts as gone.
ALIVE_EVERY: Final = timedelta(seconds=30)
SILENT_AFTER: Final = timedelta(seconds=90)

MOST_LEVELS: Final = 16  # of nested objects and arrays; our records have three
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

# A record as it was read. Anyone may have written it, so we check each field before we use it.
Record = Mapping[str, Any]


class PositionFields(TypedDict):
    """Where a record is in the control topic."""

    partition: int
    offset: int


class InstrumentRecord(TypedDict):
    """The record of `instrument/<ISIN>`; `code` and `message` are KIS's own.

    `wanted_since` is the earliest request of the lists that want the bond, or None if it is lost.
    """

    state: str
    lists: list[str]
    slot: int | None
    since: str
    code: str | None
    message: str | None
    control: PositionFields
    wanted_since: str | None


class InForceFields(TypedDict):
    """The whole last accepted value of a list, and its position in the control topic."""

    value: dict[str, Any]
    control: PositionFields


class ListRecord(TypedDict):
    """The record of `list/<name>`; `instruments` counts the bonds in force."""

    state: str
    instruments: int
    reason: str | None
    control: PositionFields
    in_force: InForceFields | None


class SlotRecord(TypedDict):
    """The record of `slot/<k>`; `owner` is the `replicas.name` of the slot's replica.

    `pending` counts the undelivered frames of the owner, from all its slots.
    """

    state: str
    owner: str | None
    capacity: int
    registered: int
    since: str
    alive_at: str
    code: str | None
    message: str | None
    pending: int


def is_active(records: Mapping[str, Record], isin: str, slot: int) -> bool:
    """Return whether the records say that the bond is active on the slot."""
    bond = records.get(INSTRUMENT + isin, {})
    return bond.get("state") == "ACTIVE" and bond.get("slot") == slot


def owner(records: Mapping[str, Record | None], slot: int) -> str | None:
    """Return the owner that the slot's record names, or None if the record names nobody."""
    found = (records.get(f"{SLOT}{slot}") or {}).get("owner")
    return found if isinstance(found, str) else None


def capacity(records: Mapping[str, Record], slot: int) -> int | None:
    """Return the capacity in the slot's record, or None if the record has no usable capacity."""
    found = records.get(f"{SLOT}{slot}", {}).get("capacity")
    return found if type(found) is int and found >= 0 else None


def unconfirmed(previous: Mapping[str, Record], ours: Container[int], now: str) -> dict[str, Record]:
    """Return the records for a start: a bond that was ACTIVE on a slot of ours is PENDING.

    KIS has to confirm it again.
    """
    return {
        key: {**record, "state": "PENDING", "since": now, "code": None, "message": None}
        if key.startswith(INSTRUMENT) and record.get("state") == "ACTIVE" and _is_on(record, ours)
        else record
        for key, record in previous.items()
    }


def _is_on(record: Record, slots: Container[int]) -> bool:
    slot = record.get("slot")
    return type(slot) is int and slot in slots


def wanted(records: Mapping[str, Record], desired: Container[str]) -> dict[str, Record]:
    """Return the records without those of bonds that are not desired."""
    return {
        key: record
        for key, record in records.items()
        if not key.startswith(INSTRUMENT) or key.removeprefix(INSTRUMENT) in desired
    }


def stopped(previous: Mapping[str, Record], now: str, pending: int = 0) -> dict[str, Record]:
    """Return the last records of a clean stop.

    Each slot is IDLE and has no owner. Each bond on a slot is DISCONNECTED. All other records are
    unchanged. `pending` frames are undelivered.
    """
    last: dict[str, Record] = {}
    for key, record in previous.items():
        if key.startswith(SLOT):
            idle = {"state": "IDLE", "owner": None, "registered": 0, "alive_at": now, "code": None, "message": None}
            last[key] = dated({**record, **idle, "pending": pending}, record, now)
        elif key.startswith(INSTRUMENT) and record.get("slot") is not None:
            last[key] = dated({**record, "state": "DISCONNECTED", "code": None, "message": None}, record, now)
        else:
            last[key] = record
    return last


def known_limits(
    told: Mapping[int, int], before: Mapping[int, int], records: Mapping[str, Record], silent: Container[int]
) -> dict[int, int]:
    """Return the limits that the group `told`, and those `before` of owners that are not `silent`.

    When Kafka is back, one owner joins the group before another, whose slots go on meanwhile.
    """
    return {
        slot: most for slot, most in before.items() if slot not in silent and owner(records, slot) is not None
    } | dict(told)


def places(records: Mapping[str, Record], limits: Mapping[int, int], silent: Container[int] = ()) -> Places:
    """Return where bonds can be placed, as every replica reads it in the records.

    `limits` has the slots, each with the most bonds that the settings allow. A slot without a
    record counts its limit. A slot whose owner reports no room, or has been `silent` for too long,
    is spare. But a slot whose app key KIS refused for good gets no bonds.
    """
    counted: dict[int, int] = {}
    spare: dict[int, int] = {}
    for slot, most in limits.items():
        record, reported = records.get(f"{SLOT}{slot}"), capacity(records, slot)
        room = most if reported is None else min(most, reported)
        if room and (record is None or slot not in silent):
            counted[slot] = room
        elif not (record and record.get("state") == "BLOCKED" and str(record.get("code")) in REFUSED_FOR_GOOD):
            spare[slot] = room or most
    refused = {
        key.removeprefix(INSTRUMENT): record["slot"]
        for key, record in records.items()
        if record.get("state") == "REJECTED" and key.startswith(INSTRUMENT) and _is_on(record, limits)
    }
    return Places(counted, spare, refused)


def asked_anew(records: Mapping[str, Record], isins: Iterable[str], slots: Mapping[int, SlotView]) -> dict[str, Record]:
    """Return the records with PENDING for those of these bonds that KIS refused on our `slots`.

    A bond that has to wait longer is still REJECTED, so that no other bond makes room for it.
    """
    pending = {"state": "PENDING", "code": None, "message": None}
    anew = dict(records)
    for isin in isins:
        record = records.get(key := INSTRUMENT + isin, {})
        if record.get("state") == "REJECTED" and _is_on(record, slots):
            registration = slots[record["slot"]].registrations.get(isin)
            if registration is None or registration.state != "REJECTED":
                anew[key] = {**record, **pending}
    return anew


def unowned(records: Mapping[str, Record], isins: Iterable[str], slots: Container[int]) -> frozenset[str]:
    """Return those of these bonds that KIS refused on one of these `slots`, which nobody runs."""
    found = ((isin, records.get(INSTRUMENT + isin, {})) for isin in isins)
    return frozenset(isin for isin, record in found if record.get("state") == "REJECTED" and _is_on(record, slots))


def encode(record: Record) -> bytes:
    """Return a record's value as JSON in UTF-8, with an escape for half a surrogate pair."""
    return _ENCODER.encode(record).encode(errors="backslashreplace")


def decode(value: bytes) -> Record | None:
    """Return the record in a value, or None if the value holds no record. Never raises."""
    try:
        record = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and _is_writable(record, MOST_LEVELS) else None


def _is_writable(value: object, levels: int) -> bool:
    """Whether this value can be JSON again: its numbers are finite, and it has no more levels."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return bool(levels) and all(_is_writable(each, levels - 1) for each in inner)
    return not isinstance(value, float) or isfinite(value)


def is_due(written_at: object, now: str) -> bool:
    """Return whether a slot record must be written again: its time is 30 s away, or is not one."""
    try:
        return abs(datetime.fromisoformat(now) - datetime.fromisoformat(str(written_at))) >= ALIVE_EVERY
    except (ValueError, TypeError):
        return True


def since(before: Record, now: str, identity: tuple[str, int | None, str | None, str | None]) -> str:
    """Return since when a record has had the state, slot, code and owner of `identity`."""
    since, get = before.get("since"), before.get
    is_same = (get("state"), get("slot"), get("code"), get("owner")) == identity
    return since if is_same and isinstance(since, str) else now


def dated(record: dict[str, Any], before: Record, now: str) -> Record:
    """Return the record with its `since` set."""
    identity = record["state"], record.get("slot"), record.get("code"), record.get("owner")
    return record | {"since": since(before, now, identity)}
