"""Saves the lists, and restores them from the status topic or else from the saved text."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from connector.core import record_keys
from connector.core.lists import control_record, subscription
from connector.core.lists.control_record import Wish
from connector.core.lists.subscription import Entry, InForce, Lists, Position

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping


def to_text(lists: Lists) -> Generator[None, None, str]:
    """Return `lists`, in steps, as JSON to be saved beside the journal."""
    members = []
    for name, entry in sorted(lists.entries.items()):
        members.append(f"{json.dumps(name)}: {json.dumps(_saved(entry))}")
        yield
    return "{" + ", ".join(members) + "}"


def from_text(text: str | None) -> Generator[None, None, Lists | None]:
    """Return, in steps, the lists that `to_text` wrote, or None if unreadable. Never raises."""
    document = None
    with suppress(ValueError, RecursionError):
        document = json.loads(text or "")
    if not isinstance(document, dict):
        return None
    return (yield from subscription.with_entries(Lists(), (yield from _entries(document))))


def from_status(records: Mapping[str, Any], saved: Lists | None) -> Generator[None, None, Lists]:
    """Return, in steps, the lists in force as their status records say. Never raises.

    A saved list is used if its status record is missing, although a bond's record names the list.
    All saved lists are used if no list has a status record. A list's status record lacks the time
    of a request that the value does not name. It comes from the records of the list's bonds, or
    else from the saved list.
    """
    prefix = record_keys.LIST
    lists = {key.removeprefix(prefix): record for key, record in records.items() if key.startswith(prefix)}
    entries = yield from _entries(lists)
    if saved is not None and not entries:
        return saved
    named, since = yield from _of_bonds(records, entries)
    kept = {} if saved is None else saved.entries
    entries = {name: _with_time(entry, since.get(name), kept.get(name)) for name, entry in entries.items()}
    missing = {name: kept[name] for name in kept if name in named and name not in entries}
    return (yield from subscription.with_entries(Lists(), entries | missing))


def _of_bonds(
    records: Mapping[str, Any], entries: Mapping[str, Entry]
) -> Generator[None, None, tuple[set[str], dict[str, int]]]:
    """Return the lists that bonds' records name, and since when lists have asked for their bonds.

    A bond is wanted since the earliest request of its lists. So the latest such time among a
    list's bonds is the list's own, or else an earlier one that ranks its bonds the same.
    """
    named: set[str] = set()
    since: dict[str, int] = {}
    for key, record in records.items():
        match record:
            case {"lists": [*names], "control": {"partition": int(partition), "offset": int(offset)}} if key.startswith(
                record_keys.INSTRUMENT
            ):
                naming = {name for name in names if isinstance(name, str)}
                named |= naming
                with suppress(ValueError):
                    at = control_record.read_requested_at(record.get("wanted_since"))
                    for name in naming & entries.keys():
                        content = entries[name].in_force
                        if content is not None and content.control <= (partition, offset):
                            since[name] = max(since.get(name, at), at)
        yield
    return named, since


def _entries(records: Mapping[str, object]) -> Generator[None, None, dict[str, Entry]]:
    entries: dict[str, Entry] = {}
    for name, record in records.items():
        if (entry := entry_of(name, record)) is not None:
            entries[name] = entry
        yield
    return entries


def _saved(entry: Entry) -> dict[str, Any]:
    in_force = (content := entry.in_force) and {
        "value": dict(content.wish.value),
        "control": content.control._asdict(),
        "requested_at": content.requested_at,
    }
    return {"reason": entry.refusal, "control": entry.control._asdict(), "in_force": in_force}


def entry_of(name: str, record: object) -> Entry | None:
    """Return a list as its saved text or status record says, or None if that cannot be read."""
    match record:
        case {
            "reason": str() | None as reason,
            "control": {"partition": int(partition), "offset": int(offset)},
            "in_force": in_force,
        }:
            return Entry(_in_force(name, in_force), Position(partition, offset), reason)
    return None


def _in_force(name: str, record: object) -> InForce | None:
    match record:
        case {"value": value, "control": {"partition": int(partition), "offset": int(offset)}, **rest}:
            if isinstance(wish := control_record.from_json(name, value), Wish):
                at = rest.get("requested_at") if wish.requested_at is None else wish.requested_at
                return InForce(wish, at if type(at) is int else 0, Position(partition, offset))
    return None


def _with_time(entry: Entry, since: int | None, saved: Entry | None) -> Entry:
    content = entry.in_force
    if content is None or content.wish.requested_at is not None:
        return entry
    if since is None and saved and saved.in_force and saved.in_force.control == content.control:
        since = saved.in_force.requested_at
    return entry if since is None else replace(entry, in_force=replace(content, requested_at=since))
