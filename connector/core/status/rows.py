"""What a reader makes of the status topic: one row for each wanted bond, silent slots taken as gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from connector.core.lists import control_record
from connector.core.lists.control_record import Wish
from connector.core.status.records import SILENT_AFTER

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Row:
    """One bond as `subs ls` shows it; `offset` is the control record the state reflects, -1 where no connector reported yet."""

    instrument: str
    state: str
    slot: int | None
    since: str | None
    lists: tuple[str, ...]
    why: str
    offset: int


def to_rows(status: Mapping[str, Mapping[str, Any]], control: Mapping[str, bytes], now: datetime) -> list[Row]:
    """Return a row for each bond that the status topic knows or the control topic asks for, by ISIN. Never raises."""
    reported = {
        key.removeprefix("instrument/"): record for key, record in status.items() if key.startswith("instrument/")
    }
    asked: dict[str, list[str]] = {}
    for name, value in sorted(control.items()):
        wish = control_record.parse(name, value)
        if isinstance(wish, Wish) and not wish.paused:
            for each in wish.instruments:
                asked.setdefault(each, []).append(name)
    made = {each: _unreported(each, tuple(names)) for each, names in asked.items()}
    made |= {each: _reported(each, record, status, now) for each, record in reported.items()}
    return [made[each] for each in sorted(made)]


def refused_lists(status: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return why, by name, for each list whose latest record was refused or is held back."""
    return {
        key.removeprefix("list/"): str(record.get("reason"))
        for key, record in sorted(status.items())
        if key.startswith("list/") and record.get("state") == "REFUSED"
    }


def is_refusal_of(record: Mapping[str, Any] | None, offset: int) -> bool:
    """Tell whether a list's status record refuses the control record at `offset` or a later one."""
    return record is not None and record.get("state") == "REFUSED" and offset_of(record) >= offset


def offset_of(record: Mapping[str, Any]) -> int:
    """Return the control offset a status record reflects, -1 where it names none."""
    control = record.get("control")
    offset = control.get("offset") if isinstance(control, dict) else None
    return offset if isinstance(offset, int) else -1


def _unreported(each: str, lists: tuple[str, ...]) -> Row:
    return Row(each, "PENDING", None, None, lists, "no connector has reported on it", -1)


def _reported(each: str, record: Mapping[str, Any], status: Mapping[str, Mapping[str, Any]], now: datetime) -> Row:
    slot, state = record.get("slot"), str(record.get("state"))
    told = " ".join(str(record[part]) for part in ("code", "message") if record.get(part))
    why = told or _by_the_slots(state, slot, status, now)
    silent = _silent_since(status.get(f"slot/{slot}"), now) if slot is not None else None
    if silent is not None and state in {"ACTIVE", "PENDING"}:
        state, why = "DISCONNECTED", f"slot {slot} has been silent since {silent}"
    lists = record.get("lists")
    return Row(
        each, state, slot, record.get("since"), tuple(lists) if isinstance(lists, list) else (), why, offset_of(record)
    )


def _by_the_slots(state: str, slot: object, status: Mapping[str, Mapping[str, Any]], now: datetime) -> str:
    """Say why a bond is not ACTIVE where KIS gave no words for it."""
    match state:
        case "WAITING_CAPACITY":
            alive = [
                record
                for key, record in status.items()
                if key.startswith("slot/") and _silent_since(record, now) is None
            ]
            room = sum(count for record in alive if type(count := record.get("capacity")) is int)
            return f"no room: the live slots hold {room} bonds"
        case "PENDING":
            return "KIS has not confirmed it yet"
        case "DISCONNECTED":
            return f"slot {slot} is {(status.get(f'slot/{slot}') or {}).get('state', 'without a report')}"
        case _:
            return ""


def is_anyone_there(status: Mapping[str, Mapping[str, Any]], now: datetime) -> bool:
    """Tell whether a slot has an owner that is not silent; a connector that was stopped leaves its slots without one."""
    slots = (record for key, record in status.items() if key.startswith("slot/"))
    return any(record.get("owner") is not None and _silent_since(record, now) is None for record in slots)


def _silent_since(slot: Mapping[str, Any] | None, now: datetime) -> str | None:
    alive_at = None if slot is None else slot.get("alive_at")
    try:
        return None if now - datetime.fromisoformat(str(alive_at)) < SILENT_AFTER else str(alive_at)
    except (ValueError, TypeError):
        return "an unknown time"
