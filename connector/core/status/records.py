"""The status records: what they say of each instrument, list and slot, given what is desired and what the sessions report.

The formats are a contract: schemas/status_record.schema.json. Times are RFC 3339 in UTC and come from the caller.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connector.core.kis.bond_registration import RegistrationView
    from connector.core.kis.session import SlotView
    from connector.core.lists.subscription import Desired, Entry, Lists, Position

INSTRUMENT: Final = "instrument/"
LIST: Final = "list/"
SLOT: Final = "slot/"
# Contract of the status topic: an owner writes every 30 s, and one silent for 90 s is taken as gone.
ALIVE_EVERY: Final = timedelta(seconds=30)
SILENT_AFTER: Final = timedelta(seconds=90)

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Situation:
    """All that status records are made of; `slots` are the slots this replica owns, `placement` is ISIN to slot, `owner` its name.

    `others` are the slots this replica does not own: their owners write what concerns them, and the owner of slot 0 what concerns none.
    """

    desired: Sequence[Desired]
    placement: Mapping[str, int]
    slots: Mapping[int, SlotView]
    lists: Lists
    owner: str
    others: frozenset[int] = frozenset()


def is_ours(situation: Situation, key: str, before: Record) -> bool:
    """Return whether this replica is the one to write the record of `key`; `before` is that record as it was, empty without one."""
    if key.startswith(SLOT):
        number = key.removeprefix(SLOT)
        slot = int(number) if number.isdecimal() else None
    elif key.startswith(INSTRUMENT):
        slot = situation.placement.get(key.removeprefix(INSTRUMENT), before.get("slot"))
    else:
        slot = None
    if type(slot) is not int:
        slot = None
    return slot in situation.slots or (slot not in situation.others and 0 not in situation.others)


def records(situation: Situation, previous: Mapping[str, Record], now: str) -> dict[str, Record]:
    """Return every record there should be, by key; a key of `previous` that is left out is to be tombstoned.

    What others write is repeated as `previous` has it.
    `since` stays as `previous` has it while state, slot and code stay; `alive_at` moves on by itself after 30 s, else with the record.
    """
    made: dict[str, Record] = {}
    for bond in situation.desired:
        made[INSTRUMENT + bond.isin] = _instrument(situation, bond, previous.get(INSTRUMENT + bond.isin, {}))
    for view in situation.slots.values():
        for isin in view.registrations:
            if (key := INSTRUMENT + isin) not in made and key in previous and _is_held(view.registrations[isin]):
                made[key] = _leaving(view, isin, previous[key])
    for key, record in made.items():
        _keep_since(record, previous.get(key), now)
    for name, entry in situation.lists.entries.items():
        made[LIST + name] = _list(entry)
    for slot, view in situation.slots.items():
        made[f"{SLOT}{slot}"] = _slot(view, situation.owner, previous.get(f"{SLOT}{slot}"), now)
    if not situation.others:
        return made
    kept = {key: record for key, record in previous.items() if not is_ours(situation, key, record)}
    return {key: record for key, record in made.items() if is_ours(situation, key, previous.get(key, {}))} | kept


def is_active(records: Mapping[str, Record], isin: str, slot: int, now: str) -> bool:
    """Return whether the records say that this slot's owner, alive, has the bond registered."""
    bond, owner = records.get(INSTRUMENT + isin, {}), records.get(f"{SLOT}{slot}", {})
    if bond.get("state") != "ACTIVE" or bond.get("slot") != slot:
        return False
    return not _is_due(owner.get("alive_at"), now, SILENT_AFTER)


def owner(records: Mapping[str, Record | None], slot: int) -> str | None:
    """Return whom the slot's record names as its owner; None where it names nobody."""
    found = (records.get(f"{SLOT}{slot}") or {}).get("owner")
    return found if isinstance(found, str) else None


def capacity(records: Mapping[str, Record], slot: int) -> int | None:
    """Return how many registrations the slot's record says it carries; None where it says nothing usable."""
    found = records.get(f"{SLOT}{slot}", {}).get("capacity")
    return found if type(found) is int and found >= 0 else None


def unconfirmed(previous: Mapping[str, Record], now: str) -> dict[str, Record]:
    """Return `previous` as it may be repeated at start: nothing is ACTIVE before KIS confirmed it anew."""
    return {
        key: {**record, "state": "PENDING", "since": now, "code": None, "message": None}
        if key.startswith(INSTRUMENT) and record.get("state") == "ACTIVE"
        else record
        for key, record in previous.items()
    }


def stopped(previous: Mapping[str, Record], now: str) -> dict[str, Record]:
    """Return the last records of a clean stop: slots IDLE and without an owner, their instruments DISCONNECTED, the rest as it was."""
    last: dict[str, Record] = {}
    for key, record in previous.items():
        if key.startswith(SLOT):
            idle = {"state": "IDLE", "owner": None, "registered": 0, "alive_at": now, "code": None, "message": None}
            last[key] = _keep_since({**record, **idle}, record, now)
        elif key.startswith(INSTRUMENT) and record.get("slot") is not None:
            last[key] = _keep_since({**record, "state": "DISCONNECTED", "code": None, "message": None}, record, now)
        else:
            last[key] = record
    return last


def places(records: Mapping[str, Record], slots: Iterable[int], most: int, own: Mapping[int, int]) -> dict[int, int]:
    """Return how many bonds each slot can be given: its capacity by its record, `most` where none is told, and what KIS refused there.

    A refused bond takes no room, so as many others can be placed beside it; the owner counts alike (`Registrations.places`). `own` are the
    capacities of the slots that are ours, which their records may not tell yet. What an earlier owner was refused counts until the present
    one was answered, so that everybody counts the same.
    """
    rejected = (
        record for key, record in records.items() if key.startswith(INSTRUMENT) and record.get("state") == "REJECTED"
    )
    refused = Counter(slot for record in rejected if type(slot := record.get("slot")) is int)
    found: dict[int, int] = {}
    for slot in slots:
        told = own.get(slot, capacity(records, slot))
        limit = most if told is None else min(most, told)
        found[slot] = limit + min(refused[slot], limit)
    return found


def encode(record: Record) -> bytes:
    """Return the record's value: JSON in UTF-8; half a surrogate pair in foreign text is written as its escape."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


def decode(value: bytes) -> Record | None:
    """Return the record a value holds, None where it holds none. Never raises: others can write to the topic."""
    try:
        record = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _instrument(situation: Situation, bond: Desired, before: Record) -> Record:
    slot = situation.placement.get(bond.isin)
    view = None if slot is None else situation.slots.get(slot)
    registration = None if view is None else view.registrations.get(bond.isin)
    if slot is None or (registration is not None and registration.state == "WAITING_CAPACITY"):
        state, slot, (code, message) = "WAITING_CAPACITY", None, _no_room(situation, bond.isin, before)
    else:
        state, code, message = _of_registration(view, registration)
    return {
        "state": state,
        "lists": list(bond.lists),
        "slot": slot,
        "since": None,
        "code": code,
        "message": message,
        "control": _position(bond.control),
    }


def _no_room(situation: Situation, isin: str, before: Record) -> tuple[str | None, str | None]:
    """Return KIS's words where it was KIS who had no room: those a session holds, else those said before."""
    for view in situation.slots.values():
        held = view.registrations.get(isin)
        if held is not None and held.state == "WAITING_CAPACITY":
            return held.code, held.message
    if before.get("state") == "WAITING_CAPACITY":
        return before.get("code"), before.get("message")
    return None, None


def _of_registration(
    view: SlotView | None, registration: RegistrationView | None
) -> tuple[str, str | None, str | None]:
    """Return state, code and message of a bond that has a place; the first that applies."""
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


def _leaving(view: SlotView, isin: str, before: Record) -> Record:
    """Describe a bond nobody wants any more but KIS may still hold; its record goes with the registration."""
    state, code, message = _of_registration(view, view.registrations[isin])
    return {**before, "state": state, "lists": [], "slot": view.slot, "code": code, "message": message}


def _list(entry: Entry) -> Record:
    content = entry.in_force
    return {
        "state": "ACCEPTED" if entry.refusal is None else "REFUSED",
        "instruments": 0 if content is None else len(content.wish.instruments),
        "reason": entry.refusal,
        "control": _position(entry.control),
        "in_force": None
        if content is None
        else {"value": dict(content.wish.value), "control": _position(content.control)},
    }


def _slot(view: SlotView, owner: str, before: Record | None, now: str) -> Record:
    record: Record = {
        "state": view.state,
        "owner": owner,
        "capacity": view.capacity,
        "registered": view.registered,
        "since": None,
        "alive_at": None,
        "code": view.code,
        "message": view.message,
    }
    _keep_since(record, before, now)
    told = None if before is None else before.get("alive_at")
    unchanged = {**record, "alive_at": told} == before
    record["alive_at"] = told if unchanged and not _is_due(told, now) else now
    return record


def _is_due(told: object, now: str, after: timedelta = ALIVE_EVERY) -> bool:
    try:
        return abs(datetime.fromisoformat(now) - datetime.fromisoformat(str(told))) >= after
    except (ValueError, TypeError):
        return True


def _keep_since(record: Record, before: Record | None, now: str) -> Record:
    same = before is not None and all(
        before.get(name) == record.get(name) for name in ("state", "slot", "code", "owner")
    )
    since = before.get("since") if same and before is not None else None
    record["since"] = since if isinstance(since, str) else now
    return record


def _position(position: Position) -> dict[str, int]:
    return {"partition": position.partition, "offset": position.offset}
