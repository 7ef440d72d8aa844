"""Makes a replica's status records of bonds, lists and slots, round by round."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from connector.core.kis.reply_codes import REACTIONS, Reaction
from connector.core.lists.control_record import shown_requested_at
from connector.core.record_keys import INSTRUMENT, LIST, SLOT
from connector.core.status.records import dated, is_due, since

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.kis.bond_registration import RegistrationView
    from connector.core.kis.slot_view import SlotView
    from connector.core.lists.desired import Desired
    from connector.core.lists.subscription import Entry, Lists, Position
    from connector.core.status.records import InstrumentRecord, ListRecord, PositionFields, Record, SlotRecord

# The codes of a bond that KIS has not answered yet, or for which it had no room.
NOT_JUDGED: Final = (None, "OPSP0008")
# The states in which KIS has answered. No set: a foreign record's state may be anything.
ANSWERED: Final = ("ACTIVE", "REJECTED")


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """What one replica knows: its status records are made from this.

    `owner` is the name of the replica, and `slots` are the slots that it owns. `placement` gives
    the slot of each ISIN. `others` are the slots of other replicas, which write the records of
    these slots and their bonds. The owners of the slots `alive` are not silent. The owner of slot 0
    writes the records that belong to no slot. The owner of a slot that a bond is leaving writes the
    bond's record until KIS has confirmed the bond on its new slot. `pending` counts the frames of
    this replica that are undelivered.
    """

    placement: Mapping[str, int]
    slots: Mapping[int, SlotView]
    lists: Lists
    owner: str
    others: frozenset[int] = frozenset()
    alive: frozenset[int] = frozenset()
    pending: int = 0


def is_ours(replica: ReplicaView, key: str, before: Record) -> bool:
    """Return whether this replica writes the record of `key`; `before` is the present record."""
    if not replica.others:
        return True
    slot: object
    if key.startswith(SLOT):
        slot = next((slot for slot in (*replica.slots, *replica.others) if key == f"{SLOT}{slot}"), None)
    elif key.startswith(INSTRUMENT):
        slot = _writer(replica, key.removeprefix(INSTRUMENT), before)
    else:
        slot = None
    if type(slot) is not int:
        slot = None
    return slot in replica.slots or (slot not in replica.others and 0 not in replica.others)


def _writer(replica: ReplicaView, isin: str, before: Record) -> object:
    """Return the slot whose owner writes a bond's record.

    The slot that got the bond's ticks or its refusal keeps the record until KIS confirms the bond
    on another one. So two replicas that each were refused the bond follow the topic's last record.
    """
    reported, placed = before.get("slot"), replica.placement.get(isin)
    if placed is None:
        return reported
    if before.get("state") != "ACTIVE" and (carrier := _carrier(replica, isin, placed)) is not None:
        # While we were out of contact, another replica may have written that KIS refused the bond,
        # but our session goes on and brings its ticks.
        return carrier
    has_answer = before.get("state") in ANSWERED
    is_known = type(reported) is int and (reported in replica.slots or reported in replica.alive)
    return reported if has_answer and is_known and not _is_active(replica, isin, placed) else placed


def _is_active(replica: ReplicaView, isin: str, slot: int | None) -> bool:
    """Return whether KIS has confirmed the bond on a slot of ours."""
    view = None if slot is None else replica.slots.get(slot)
    registration = None if view is None or view.state != "CONNECTED" else view.registrations.get(isin)
    return registration is not None and registration.state == "ACTIVE"


def records(
    replica: ReplicaView, previous: Mapping[str, Record], now: str, written: Mapping[str, Record] | None = None
) -> dict[str, Record]:
    """Return all records by key; a key that is only in `previous` becomes a tombstone."""
    return Recorder(at_once=sys.maxsize).records(replica, previous, now, written)


class Recorder:
    """Makes the records that may have changed, round by round.

    One round makes at most `at_once` records, because a round blocks the event loop. `has_more` is
    true if records are left for the next round. Until they are made, the older records stay.
    `changed` has the keys of our records that the last round changed.
    """

    def __init__(self, at_once: int = 1000) -> None:
        self._at_once = at_once
        self._replica: ReplicaView | None = None
        self._made: dict[str, Record] = {}
        self._unmade: dict[str, None] = {}
        self.changed: list[str] = []

    @property
    def has_more(self) -> bool:
        """Whether records remain that the next round will make."""
        return bool(self._unmade)

    def records(
        self,
        replica: ReplicaView,
        previous: Mapping[str, Record],
        now: str,
        written: Mapping[str, Record] | None = None,
    ) -> dict[str, Record]:
        """Return all records by key; a key that is only in `previous` becomes a tombstone.

        `written` has what the status topic holds, if that is not `previous`. It decides who writes
        the record of a moving bond. Records that other replicas write are repeated. A record that
        did not change is the same object as in `previous`. `since` stays while state, slot, code
        and owner stay. `alive_at` and `pending` are renewed after 30 s, if the slot's record
        changes otherwise, or if nothing is pending any more.
        """
        written = previous if written is None else written
        made = dict(previous)
        self.changed = []
        self._unmade = dict.fromkeys(self._changed_keys(replica, previous)) | self._unmade
        for key in list(islice(self._unmade, self._at_once)):
            del self._unmade[key]
            before = previous.get(key)
            mine = is_ours(replica, key, written.get(key, before or {}))
            if mine:
                record = _record(replica, key, before or {}, now)
            elif key.startswith(INSTRUMENT):
                # A topic that was made anew lacks the records that others have yet to write again.
                is_desired = key.removeprefix(INSTRUMENT) in replica.lists.desired
                record = written.get(key, before if is_desired else None)
            else:
                record = before
            if record == made.get(key):
                continue
            if record is None:
                del made[key]
            else:
                made[key] = record
            if mine:
                self.changed.append(key)
        self._replica, self._made = replica, made
        return dict(made)

    def _changed_keys(self, replica: ReplicaView, previous: Mapping[str, Record]) -> list[str]:
        """Return the keys of the records that may have changed; waiting bonds come last."""
        placed = {INSTRUMENT + isin for isin in replica.placement}
        changed = self._maybe_changed(replica, previous)
        return sorted(changed, key=lambda key: key.startswith(INSTRUMENT) and key not in placed)

    def _maybe_changed(self, replica: ReplicaView, previous: Mapping[str, Record]) -> set[str]:
        last = self._replica
        slots = {f"{SLOT}{slot}" for slot in replica.slots}
        if last is None or _who_writes(last) != _who_writes(replica):
            held = (isin for view in replica.slots.values() for isin in view.registrations)
            bonds = {INSTRUMENT + isin for isin in (*replica.lists.desired, *held)}
            return {*previous, *slots, *bonds, *(LIST + name for name in replica.lists.entries)}
        bonds = _changed(last.lists.desired, replica.lists.desired) | _changed(last.placement, replica.placement)
        for slot, view in replica.slots.items():
            bonds |= _changed_bonds(last.slots[slot], view)
        names = _changed(last.lists.entries, replica.lists.entries)
        written = set() if previous == self._made else _changed(self._made, previous)
        return slots | written | {INSTRUMENT + isin for isin in bonds} | {LIST + name for name in names}


def _who_writes(replica: ReplicaView) -> tuple[frozenset[int], ...]:
    return frozenset(replica.slots), replica.others, replica.alive


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    """Return the keys whose object was replaced, and the keys that only one mapping has."""
    if before is after:
        return set()
    return {key for key, found in after.items() if before.get(key) is not found} | (before.keys() - after.keys())


def _changed_bonds(before: SlotView, after: SlotView) -> set[str]:
    """Return the bonds of a slot whose state may have changed."""
    one, other = before.registrations, after.registrations
    if (before.state, before.code, before.message) != (after.state, after.code, after.message):
        return {*one, *other}
    return {isin for isin in {*one, *other} if one.get(isin) != other.get(isin)}


def _record(replica: ReplicaView, key: str, before: Record, now: str) -> Record | None:
    """Return our record of a key, or None if there should be none."""
    if key.startswith(INSTRUMENT):
        isin = key.removeprefix(INSTRUMENT)
        if (bond := replica.lists.desired.get(isin)) is not None:
            return _instrument(replica, bond, before, now)
        return _unwanted(replica, isin, before, now)
    if key.startswith(LIST):
        entry = replica.lists.entries.get(key.removeprefix(LIST))
        return None if entry is None else _list(entry)
    view = next((view for slot, view in replica.slots.items() if key == f"{SLOT}{slot}"), None)
    return None if view is None else _slot(view, replica, before, now)


def _instrument(replica: ReplicaView, bond: Desired, before: Record, now: str) -> InstrumentRecord:
    slot = replica.placement.get(bond.isin)
    view = None if slot is None else replica.slots.get(slot)
    registration = None if view is None else view.registrations.get(bond.isin)
    state: str
    if slot is not None and (carrier := _carrier(replica, bond.isin, slot)) is not None:
        active = replica.slots[carrier].registrations[bond.isin]
        state, slot, code, message = "ACTIVE", carrier, active.code, active.message
    elif _refusal_stands(before, slot, registration):
        state, code, message = "REJECTED", before.get("code"), before.get("message")
    elif slot is None or (registration is not None and registration.state == "WAITING_CAPACITY"):
        state, slot, (code, message) = "WAITING_CAPACITY", None, _no_room(replica, bond.isin, before)
    elif slot in replica.others:
        state, code, message = "PENDING", None, None  # it left our slot, and has yet to arrive
    else:
        state, code, message = _of_registration(view, registration)
    return {
        "state": state,
        "lists": list(bond.lists),
        "slot": slot,
        "since": since(before, now, (state, slot, code, None)),
        "code": code,
        "message": message,
        "control": _fields(bond.control),
        "wanted_since": shown_requested_at(bond.requested_at),
    }


def _refusal_stands(before: Record, slot: int | None, registration: RegistrationView | None) -> bool:
    """Return whether a refusal in the last record stands: KIS has not judged the bond since.

    An error that may pass stands only as long as its session counts the seconds.
    """
    is_refused_here = slot is not None and (before.get("state"), before.get("slot")) == ("REJECTED", slot)
    code = before.get("code")
    is_lasting = code is not None and REACTIONS.get(str(code), Reaction.REFUSE) is Reaction.REFUSE
    return is_refused_here and is_lasting and (registration is None or registration.code in NOT_JUDGED)


def _carrier(replica: ReplicaView, isin: str, placed: int) -> int | None:
    """Return the slot of ours that brings a placed bond's ticks, or None if none does."""
    return next((slot for slot in (placed, *replica.slots) if _is_active(replica, isin, slot)), None)


def _no_room(replica: ReplicaView, isin: str, before: Record) -> tuple[str | None, str | None]:
    """Return KIS's code and message for a bond without room, from a session or the last record."""
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
    """Return state, code and message of a placed bond; the first state that applies counts."""
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


def _unwanted(replica: ReplicaView, isin: str, before: Record, now: str) -> Record | None:
    """Return the record of an unwanted bond, or None once KIS cannot hold the bond any more."""
    for view in replica.slots.values():
        registration = view.registrations.get(isin)
        if before and registration is not None and _is_held(registration):
            state, code, message = _of_registration(view, registration)
            found = {"state": state, "lists": [], "slot": view.slot, "code": code, "message": message}
            return dated({**before, **found, "wanted_since": None}, before, now)
    return None


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


def _slot(view: SlotView, replica: ReplicaView, before: Record, now: str) -> SlotRecord:
    record: SlotRecord = {
        "state": view.state,
        "owner": replica.owner,
        "capacity": view.capacity,
        "registered": view.registered,
        "since": since(before, now, (view.state, None, view.code, replica.owner)),
        "alive_at": now,
        "code": view.code,
        "message": view.message,
        "pending": replica.pending,
    }
    renewed = {"alive_at": before.get("alive_at"), "pending": before.get("pending")}
    is_drained = replica.pending == 0 != renewed["pending"]
    if not is_due(renewed["alive_at"], now) and not is_drained and before == {**record, **renewed}:
        return {**record, **renewed}  # type: ignore[typeddict-item]  # equal to `before`
    return record


def _fields(position: Position) -> PositionFields:
    return {"partition": position.partition, "offset": position.offset}
