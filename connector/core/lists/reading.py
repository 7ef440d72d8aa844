"""Chooses which records of a complete reading of the control topic are judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from connector.core.lists import control_record
from connector.core.lists.control_record import Refusal, Wish
from connector.core.lists.removal_guard import TOMBSTONE, VALUE, is_held_back

if TYPE_CHECKING:
    from connector.core.lists.subscription import ControlRecord, Entry, InForce

TOO_MANY: Final = "the desired bonds would be"  # the refusal of a record that wants too many begins so

# The refusal of a record that cannot be reported.
TOO_LARGE: Final = (
    "its status record would be too large for Kafka: shorten the list, or raise max.message.bytes of the status topic"
)


def wish_of(name: str, record: ControlRecord) -> Wish | Refusal | None:
    """Return what a record of a list says; a tombstone says None."""
    return None if record.value is None else control_record.parse(name, record.value)


def to_judge(
    name: str, before: Entry | None, history: list[ControlRecord]
) -> list[tuple[ControlRecord, Wish | Refusal | None]]:
    """Return, with their values, a list's new records that no later one superseded, latest first.

    `before` is the list before the reading, and `history` has all its records in the topic.
    """
    chosen: list[tuple[ControlRecord, Wish | Refusal | None]] = []
    for record in reversed(_unjudged(name, before, history)):
        wish = wish_of(name, record)
        confirms = isinstance(wish, Wish) and wish.confirm_removal
        is_readable = not isinstance(wish, Refusal)
        if not chosen or confirms or (is_readable and all(isinstance(each, Refusal) for _, each in chosen)):
            chosen.append((record, wish))
        if confirms:
            break
    return chosen


def _unjudged(name: str, before: Entry | None, history: list[ControlRecord]) -> list[ControlRecord]:
    """Return the records that were not judged before.

    If the topic was deleted and created again, all records are new. In that case the list's latest
    record is before the record judged last, or is at the same position with other content. The
    content of a refused record is not kept, so its refusal must fit the record.
    """
    if before is None:
        return history
    latest = history[-1]
    if latest.position < before.control:
        return history
    if latest.position == before.control:
        return [] if _fits(before, wish_of(name, latest)) else history
    return [record for record in history if record.position > before.control]


def _fits(before: Entry, wish: Wish | Refusal | None) -> bool:
    """Return whether a record with this value may have led to the entry."""
    match wish:
        case _ if before.refusal is None:
            return before.in_force is not None and wish == before.in_force.wish
        case Refusal():
            return before.refusal == wish.reason
        case Wish():
            is_held = is_held_back(before.refusal) and not is_held_back(before.refusal, TOMBSTONE)
            return (
                (is_held and not wish.confirm_removal)
                or before.refusal == TOO_LARGE
                or before.refusal.startswith(TOO_MANY)
            )
        case None:
            return is_held_back(before.refusal) and not is_held_back(before.refusal, VALUE)


def with_record_time(content: InForce, history: list[ControlRecord]) -> InForce:
    """Return the content with its record's timestamp, if its time is lost and its value names none.

    Without the record in the topic, the content stays as it is.
    """
    if content.wish.requested_at is None and not content.requested_at:
        for record in history:
            if record.position == content.control:
                return replace(content, requested_at=record.timestamp_ms * 1000)
    return content
