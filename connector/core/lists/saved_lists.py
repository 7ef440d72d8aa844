"""The lists as they were before this run: from the status topic's `in_force`, else from the text saved beside the journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from connector.core.lists import control_record, subscription
from connector.core.lists.control_record import Wish
from connector.core.lists.subscription import Entry, InForce, Lists, Position

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIST: Final = "list/"


def to_text(lists: Lists) -> str:
    """Return `lists` as JSON, to be kept beside the journal."""
    return json.dumps({name: _saved(entry) for name, entry in sorted(lists.entries.items())})


def from_text(text: str | None) -> Lists | None:
    """Return the lists `to_text` wrote; None where nothing readable was saved. Never raises."""
    try:
        document = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    read = {name: _entry(name, saved) for name, saved in document.items()}
    return subscription.of({name: entry for name, entry in read.items() if entry is not None})


def from_status(records: Mapping[str, Any], saved: Lists | None) -> Lists:
    """Return the lists the status topic says were in force; those of `saved` where it says nothing of any list. Never raises.

    `in_force` does not hold the time of a record whose value names none; `saved` may.
    """
    entries: dict[str, Entry] = {}
    for key, record in records.items():
        if key.startswith(_LIST) and (entry := _entry(key.removeprefix(_LIST), record)) is not None:
            entries[key.removeprefix(_LIST)] = _dated(
                entry, None if saved is None else saved.entries.get(key.removeprefix(_LIST))
            )
    return subscription.of(entries) if entries or saved is None else saved


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
    told = record.get("requested_at") if isinstance(record, dict) else None
    at = wish.requested_at if wish.requested_at is not None else told
    return InForce(wish, at if type(at) is int else 0, Position(partition, offset))


def _dated(entry: Entry, saved: Entry | None) -> Entry:
    if (
        entry.in_force is None
        or saved is None
        or saved.in_force is None
        or saved.in_force.control != entry.in_force.control
    ):
        return entry
    at = entry.in_force.wish.requested_at
    return (
        entry
        if at is not None
        else Entry(
            InForce(entry.in_force.wish, saved.in_force.requested_at, entry.in_force.control),
            entry.control,
            entry.refusal,
        )
    )
