"""How `subs ls` shows the status topic: one row for each bond. Silent slots count as gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from connector.core.lists import control_record
from connector.core.lists.control_record import Wish
from connector.core.record_keys import INSTRUMENT, LIST, SLOT
from connector.core.status.records import SILENT_AFTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.status.records import Record


@dataclass(frozen=True, slots=True)
class Row:
    """One bond as `subs ls` shows it.

    `offset` is that of the control record that the state reflects. It is -1 if no connector has
    reported on the bond yet.
    """

    instrument: str
    state: str
    slot: int | None
    since: str | None
    lists: tuple[str, ...]
    why: str
    offset: int


def to_rows(status: Mapping[str, Record], control: Mapping[str, bytes], now: datetime) -> list[Row]:
    """Return a row for each bond in a status or control record, sorted by ISIN. Never raises.

    Anyone may have written a status record. A field of another type than the contract's counts as
    absent.
    """
    reported = {key.removeprefix(INSTRUMENT): record for key, record in status.items() if key.startswith(INSTRUMENT)}
    asked: dict[str, list[str]] = {}
    for name, value in sorted(control.items()):
        wish = control_record.parse(name, value)
        if isinstance(wish, Wish) and not wish.paused:
            for each in wish.instruments:
                asked.setdefault(each, []).append(name)
    made = {each: _unreported(each, tuple(names)) for each, names in asked.items()}
    room = _room(status, now)
    made |= {each: _reported(each, record, status, room, now) for each, record in reported.items()}
    return [made[each] for each in sorted(made)]


def refused_lists(status: Mapping[str, Record]) -> dict[str, str]:
    """Return the name of each list whose latest record was refused or held back, and why."""
    return {
        key.removeprefix(LIST): reason_of(record)
        for key, record in sorted(status.items())
        if key.startswith(LIST) and record.get("state") == "REFUSED"
    }


def reason_of(record: Record) -> str:
    """Return why a list's record was refused, as far as it says so."""
    return _text(record, "reason") or "no reason is given"


def is_refusal_of(record: Record | None, offset: int) -> bool:
    """Return whether a list's record refuses the control record at `offset`, or a later one."""
    return record is not None and record.get("state") == "REFUSED" and offset_of(record) >= offset


def offset_of(record: Record) -> int:
    """Return the control offset that a status record reflects, or -1 if it names none."""
    control = record.get("control")
    offset = control.get("offset") if isinstance(control, dict) else None
    return offset if type(offset) is int else -1


def _unreported(each: str, lists: tuple[str, ...]) -> Row:
    return Row(each, "PENDING", None, None, lists, "no connector has reported on it", -1)


def _reported(each: str, record: Record, status: Mapping[str, Record], room: int, now: datetime) -> Row:
    slot, state = record.get("slot"), str(_text(record, "state"))
    if type(slot) is not int:
        slot = None
    reason = " ".join(text for part in ("code", "message") if (text := _text(record, part)))
    why = reason or _by_the_slots(state, slot, status, room)
    silent = silent_since(status.get(f"{SLOT}{slot}"), now) if slot is not None else None
    if silent is not None and state in {"ACTIVE", "PENDING"}:
        state, why = "DISCONNECTED", f"slot {slot} has been silent since {silent}"
    lists = record.get("lists")
    names = tuple(name for name in lists if isinstance(name, str)) if isinstance(lists, list) else ()
    return Row(each, state, slot, _text(record, "since"), names, why, offset_of(record))


def _text(record: Record, field: str) -> str | None:
    found = record.get(field)
    return found if isinstance(found, str) else None


def _room(status: Mapping[str, Record], now: datetime) -> int:
    """Return how many bonds the live slots hold."""
    alive = [record for key, record in status.items() if key.startswith(SLOT) and silent_since(record, now) is None]
    return sum(count for record in alive if type(count := record.get("capacity")) is int)


def _by_the_slots(state: str, slot: int | None, status: Mapping[str, Record], room: int) -> str:
    """Return why a bond is not ACTIVE if KIS gave no reason."""
    match state:
        case "WAITING_CAPACITY":
            return f"no room: the live slots hold {room} bonds"
        case "PENDING":
            return "KIS has not confirmed it yet"
        case "DISCONNECTED":
            return f"slot {slot} is {_text(status.get(f'{SLOT}{slot}', {}), 'state') or 'without a report'}"
        case _:
            return ""


def is_anyone_there(status: Mapping[str, Record], now: datetime) -> bool:
    """Return whether any slot has an owner that is not silent.

    A stopped connector leaves its slots without an owner.
    """
    slots = (record for key, record in status.items() if key.startswith(SLOT))
    return any(record.get("owner") is not None and silent_since(record, now) is None for record in slots)


def silent_since(slot: Record | None, now: datetime) -> str | None:
    """Return since when a slot's owner has been silent, None while it is not.

    A record that names no time counts as silent since "an unknown time".
    """
    alive_at = None if slot is None else _text(slot, "alive_at")
    try:
        return None if now - datetime.fromisoformat(alive_at or "") < SILENT_AFTER else alive_at
    except (ValueError, TypeError):
        return "an unknown time"
