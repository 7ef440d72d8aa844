"""The status records: what they say of each instrument, list and slot.

The formats are a contract: schemas/status_record.schema.json. Times are RFC 3339 in UTC and come
from the caller.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypedDict

from connector.core.record_keys import INSTRUMENT, LIST, SLOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from connector.core.kis.bond_registration import RegistrationView
    from connector.core.kis.session import SlotView
    from connector.core.lists.subscription import Desired, Entry, Lists, Position

# Contract of the status topic: an owner writes every 30 s; one silent for 90 s counts as gone.
ALIVE_EVERY: Final = timedelta(seconds=30)
SILENT_AFTER: Final = timedelta(seconds=90)

# A record as it was read: anyone may have written it, so a field is checked before it is used.
Record = Mapping[str, Any]


class PositionFields(TypedDict):
    """Where a record is in the control topic."""

    partition: int
    offset: int


class InstrumentRecord(TypedDict):
    """The record of `instrument/<ISIN>`; `code` and `message` are KIS's own."""

    state: str
    lists: list[str]
    slot: int | None
    since: str
    code: str | None
    message: str | None
    control: PositionFields


class InForceFields(TypedDict):
    """The last accepted value of a list, whole, and where it is in the control topic."""

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
    """The record of `slot/<k>`; `owner` is the `replicas.name` of the replica that runs it."""

    state: str
    owner: str | None
    capacity: int
    registered: int
    since: str
    alive_at: str
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """What one replica, named `owner`, knows; its status records are made from it.

    `slots` are the slots that it owns, and `placement` is ISIN to slot. The owners of the slots in
    `others` write the records of these slots and their bonds. The owner of slot 0 writes what
    belongs to no slot.
    """

    desired: Sequence[Desired]
    placement: Mapping[str, int]
    slots: Mapping[int, SlotView]
    lists: Lists
    owner: str
    others: frozenset[int] = frozenset()


def is_ours(replica: ReplicaView, key: str, before: Record) -> bool:
    """Return whether this replica writes the record of `key`, which is `before` so far."""
    if key.startswith(SLOT):
        number = key.removeprefix(SLOT)
        slot = int(number) if number.isdecimal() else None
    elif key.startswith(INSTRUMENT):
        slot = replica.placement.get(key.removeprefix(INSTRUMENT), before.get("slot"))
    else:
        slot = None
    if type(slot) is not int:
        slot = None
    return slot in replica.slots or (slot not in replica.others and 0 not in replica.others)


def records(replica: ReplicaView, previous: Mapping[str, Record], now: str) -> dict[str, Record]:
    """Return all records by key; a key of `previous` that is left out becomes a tombstone.

    Records that other replicas write are repeated as they are in `previous`. `since` stays while
    state, slot, code and owner stay. `alive_at` is set to `now` if the slot's record changes or if
    30 s have passed.
    """
    made: dict[str, Record] = {}
    for bond in replica.desired:
        key = INSTRUMENT + bond.isin
        made[key] = _instrument(replica, bond, previous.get(key, {}), now)
    for view in replica.slots.values():
        for isin, registration in view.registrations.items():
            if (key := INSTRUMENT + isin) not in made and key in previous and _is_held(registration):
                made[key] = _unwanted(view, registration, previous[key], now)
    for name, entry in replica.lists.entries.items():
        made[LIST + name] = _list(entry)
    for slot, view in replica.slots.items():
        made[f"{SLOT}{slot}"] = _slot(view, replica.owner, previous.get(f"{SLOT}{slot}", {}), now)
    if not replica.others:
        return made
    others = {key: record for key, record in previous.items() if not is_ours(replica, key, record)}
    return {key: record for key, record in made.items() if is_ours(replica, key, previous.get(key, {}))} | others


def is_active(records: Mapping[str, Record], isin: str, slot: int, now: str) -> bool:
    """Return whether the records say that the bond is registered on a slot with a live owner."""
    bond, owner = records.get(INSTRUMENT + isin, {}), records.get(f"{SLOT}{slot}", {})
    if bond.get("state") != "ACTIVE" or bond.get("slot") != slot:
        return False
    return not _is_due(owner.get("alive_at"), now, SILENT_AFTER)


def owner(records: Mapping[str, Record | None], slot: int) -> str | None:
    """Return the owner that the slot's record names, None if it names nobody."""
    found = (records.get(f"{SLOT}{slot}") or {}).get("owner")
    return found if isinstance(found, str) else None


def capacity(records: Mapping[str, Record], slot: int) -> int | None:
    """Return the capacity in the slot's record, None if it has no usable one."""
    found = records.get(f"{SLOT}{slot}", {}).get("capacity")
    return found if type(found) is int and found >= 0 else None


def unconfirmed(previous: Mapping[str, Record], now: str) -> dict[str, Record]:
    """Return the records for a start: what was ACTIVE is PENDING until KIS confirms it again."""
    return {
        key: {**record, "state": "PENDING", "since": now, "code": None, "message": None}
        if key.startswith(INSTRUMENT) and record.get("state") == "ACTIVE"
        else record
        for key, record in previous.items()
    }


def stopped(previous: Mapping[str, Record], now: str) -> dict[str, Record]:
    """Return the last records of a clean stop.

    Slots are IDLE without an owner, their instruments are DISCONNECTED, and the rest is unchanged.
    """
    last: dict[str, Record] = {}
    for key, record in previous.items():
        if key.startswith(SLOT):
            idle = {"state": "IDLE", "owner": None, "registered": 0, "alive_at": now, "code": None, "message": None}
            last[key] = _dated({**record, **idle}, record, now)
        elif key.startswith(INSTRUMENT) and record.get("slot") is not None:
            last[key] = _dated({**record, "state": "DISCONNECTED", "code": None, "message": None}, record, now)
        else:
            last[key] = record
    return last


def places(records: Mapping[str, Record], slots: Iterable[int], most: int, own: Mapping[int, int]) -> dict[int, int]:
    """Return how many bonds can be placed on each slot: its capacity and the bonds refused there.

    A refused bond needs no room on the session, so another can be placed beside it;
    `Registrations.places` counts in the same way. `own` has the capacities of our own slots, newer
    than their records. A slot without a capacity in its record counts `most`. A bond that KIS
    refused an earlier owner counts until KIS answers the present one: all replicas count the same.
    """
    rejected = (
        record for key, record in records.items() if key.startswith(INSTRUMENT) and record.get("state") == "REJECTED"
    )
    refused = Counter(slot for record in rejected if type(slot := record.get("slot")) is int)
    found: dict[int, int] = {}
    for slot in slots:
        reported = own.get(slot, capacity(records, slot))
        limit = most if reported is None else min(most, reported)
        found[slot] = limit + min(refused[slot], limit)
    return found


def encode(record: Record) -> bytes:
    """Return a record's value: JSON in UTF-8; half a surrogate pair becomes an escape."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


def decode(value: bytes) -> Record | None:
    """Return the record in a value, None if it holds none. Never raises."""
    try:
        record = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _instrument(replica: ReplicaView, bond: Desired, before: Record, now: str) -> InstrumentRecord:
    slot = replica.placement.get(bond.isin)
    view = None if slot is None else replica.slots.get(slot)
    registration = None if view is None else view.registrations.get(bond.isin)
    if slot is None or (registration is not None and registration.state == "WAITING_CAPACITY"):
        state, slot, (code, message) = "WAITING_CAPACITY", None, _no_room(replica, bond.isin, before)
    else:
        state, code, message = _of_registration(view, registration)
    return {
        "state": state,
        "lists": list(bond.lists),
        "slot": slot,
        "since": _since(before, now, state=state, slot=slot, code=code),
        "code": code,
        "message": message,
        "control": _fields(bond.control),
    }


def _no_room(replica: ReplicaView, isin: str, before: Record) -> tuple[str | None, str | None]:
    """Return KIS's code and message if KIS had no room: a session's, else those reported before."""
    for view in replica.slots.values():
        held = view.registrations.get(isin)
        if held is not None and held.state == "WAITING_CAPACITY":
            return held.code, held.message
    if before.get("state") == "WAITING_CAPACITY":
        return before.get("code"), before.get("message")
    return None, None


def _of_registration(
    view: SlotView | None, registration: RegistrationView | None
) -> tuple[str, str | None, str | None]:
    """Return state, code and message of a placed bond: of the states, the first that applies."""
    if registration is not None and registration.state == "REJECTED":
        return "REJECTED", registration.code, registration.message
    if view is None:
        return "DISCONNECTED", None, None
    if view.state != "CONNECTED":
        return "DISCONNECTED", view.code, view.message
    if registration is None:
        return "PENDING", None, None
    return "ACTIVE" if registration.state == "ACTIVE" else "PENDING", registration.code, registration.message


def _is_held(registration: RegistrationView) -> bool:
    return registration.state in {"ACTIVE", "PENDING"}


def _unwanted(view: SlotView, registration: RegistrationView, before: Record, now: str) -> Record:
    """Return the record of a bond that nobody wants but that KIS may still hold."""
    state, code, message = _of_registration(view, registration)
    record = {**before, "state": state, "lists": [], "slot": view.slot, "code": code, "message": message}
    return _dated(record, before, now)


def _list(entry: Entry) -> ListRecord:
    content = entry.in_force
    return {
        "state": "ACCEPTED" if entry.refusal is None else "REFUSED",
        "instruments": 0 if content is None else len(content.wish.instruments),
        "reason": entry.refusal,
        "control": _fields(entry.control),
        "in_force": None
        if content is None
        else {"value": dict(content.wish.value), "control": _fields(content.control)},
    }


def _slot(view: SlotView, owner: str, before: Record, now: str) -> SlotRecord:
    alive_at = before.get("alive_at")
    record: SlotRecord = {
        "state": view.state,
        "owner": owner,
        "capacity": view.capacity,
        "registered": view.registered,
        "since": _since(before, now, state=view.state, code=view.code, owner=owner),
        "alive_at": now,
        "code": view.code,
        "message": view.message,
    }
    if not _is_due(alive_at, now) and before == {**record, "alive_at": alive_at}:
        record["alive_at"] = str(alive_at)
    return record


def _is_due(written_at: object, now: str, after: timedelta = ALIVE_EVERY) -> bool:
    try:
        return abs(datetime.fromisoformat(now) - datetime.fromisoformat(str(written_at))) >= after
    except (ValueError, TypeError):
        return True


def _since(before: Record, now: str, **identity: str | int | None) -> str:
    """Return since when a record has this state, slot, code and owner."""
    since = before.get("since")
    is_same = all(before.get(name) == value for name, value in identity.items())
    return since if is_same and isinstance(since, str) else now


def _dated(record: dict[str, Any], before: Record, now: str) -> Record:
    """Set a record's `since`."""
    identity = {name: record.get(name) for name in ("state", "slot", "code", "owner")}
    return record | {"since": _since(before, now, **identity)}


def _fields(position: Position) -> PositionFields:
    return {"partition": position.partition, "offset": position.offset}
