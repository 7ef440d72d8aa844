"""The lists before this run: from `in_force` in the status topic, else from the saved text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from connector.core import record_keys
from connector.core.lists import control_record, subscription
from connector.core.lists.control_record import Wish
from connector.core.lists.subscription import Entry, InForce, Lists, Position

if TYPE_CHECKING:
    from collections.abc import Mapping


def to_text(lists: Lists) -> str:
    """Return `lists` as JSON, to be saved beside the journal."""
    return json.dumps({name: _saved(entry) for name, entry in sorted(lists.entries.items())})


def from_text(text: str | None) -> Lists | None:
    """Return the lists that `to_text` wrote, None if nothing readable was saved. Never raises."""
    try:
        document = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    read = {name: _entry(name, saved) for name, saved in document.items()}
    return subscription.from_entries({name: entry for name, entry in read.items() if entry is not None})


def from_status(records: Mapping[str, Any], saved: Lists | None) -> Lists:
    """Return the lists in force by their status records, else the saved lists. Never raises.

    `saved` is used if no status record describes a list. It also gives the time of a
    request that names none, which `in_force` does not have.
    """
    entries: dict[str, Entry] = {}
    for key, record in records.items():
        name = key.removeprefix(record_keys.LIST)
        if key.startswith(record_keys.LIST) and (entry := _entry(name, record)) is not None:
            entries[name] = _with_saved_time(entry, None if saved is None else saved.entries.get(name))
    return subscription.from_entries(entries) if entries or saved is None else saved


def _saved(entry: Entry) -> dict[str, Any]:
    content = entry.in_force
    return {
        "reason": entry.refusal,
        "control": entry.control._asdict(),
        "in_force": None
        if content is None
        else {
            "value": dict(content.wish.value),
            "control": content.control._asdict(),
            "requested_at": content.requested_at,
        },
    }


def _entry(name: str, record: object) -> Entry | None:
    match record:
        case {
            "reason": str() | None as reason,
            "control": {"partition": int(partition), "offset": int(offset)},
            "in_force": in_force,
        }:
            return Entry(_in_force(name, in_force), Position(partition, offset), reason)
        case _:
            return None


def _in_force(name: str, record: object) -> InForce | None:
    match record:
        case {"value": value, "control": {"partition": int(partition), "offset": int(offset)}}:
            wish = control_record.from_json(name, value)
        case _:
            return None
    if not isinstance(wish, Wish):
        return None
    saved_at = record.get("requested_at") if isinstance(record, dict) else None
    at = wish.requested_at if wish.requested_at is not None else saved_at
    return InForce(wish, at if type(at) is int else 0, Position(partition, offset))


def _with_saved_time(entry: Entry, saved: Entry | None) -> Entry:
    content = entry.in_force
    if content is None or content.wish.requested_at is not None or saved is None or saved.in_force is None:
        return entry
    if saved.in_force.control != content.control:
        return entry
    return replace(entry, in_force=replace(content, requested_at=saved.in_force.requested_at))
