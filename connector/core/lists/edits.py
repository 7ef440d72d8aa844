"""Composes the records that `subs add` and `subs rm` write, from the control topic's content."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.core import record_keys
from connector.core.bonds import isin
from connector.core.lists import control_record, saved_lists, subscription
from connector.core.lists.control_record import Refusal, Wish
from connector.core.lists.removal_guard import is_held_back
from connector.core.lists.subscription import ControlRecord, InForce, Lists, Position
from connector.core.printable import printable, trimmed
from connector.core.steps import finished
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

CONFIRMED_EMPTY = json.dumps({"instruments": [], "confirm_removal": True}).encode()

Records = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for a list, and when the list was first requested (RFC 3339)."""

    by: str
    at: str


def check(isins: Sequence[str]) -> list[str]:
    """Return each ISIN once, in the order given.

    Raises RequestMalformed, which says what is wrong with each malformed ISIN.
    """
    wrong = [fault for each in isins if (fault := isin.fault(each))]
    if wrong:
        raise RequestMalformed("\n".join([*wrong, "Nothing was written."]))
    return list(dict.fromkeys(isins))


def name_to_write(given: str) -> str:
    """Return the name of a list to add to, without blanks and line ends around it.

    Raises RequestMalformed if a character of the name cannot be seen.
    """
    name = trimmed(given)
    unseen = next((each for each in name if printable(each) != each), None)
    if unseen is not None:
        raise RequestMalformed(
            f"The list name {printable(name)} holds U+{ord(unseen):04X}, which cannot be seen: remove it. "
            "Nothing was written."
        )
    return name


def name_to_find(given: str, existing: Container[str]) -> str:
    """Return the name as given if there is such a list, else without blanks and line ends around.

    Other clients may write any name, so a list with such a name can still be shown and removed.
    """
    return given if given in existing else trimmed(given)


def name_to_show(given: str | None, existing: Container[str]) -> str | None:
    """Return the name as `name_to_find` does, or None for all lists.

    Raises RequestMalformed if there is no such list.
    """
    name = None if given is None else name_to_find(given, existing)
    if name is not None and name not in existing:
        raise RequestMalformed(f"There is no list {printable(name)}.")
    return name


def added(isins: Sequence[str], name: str, value: bytes | None, request: Request) -> Records:
    """Return the record that appends bonds to `value`, the present value of list `name`."""
    fields = {"instruments": []} if value is None else _fields(name, value)
    fields["instruments"] = list(dict.fromkeys([*fields["instruments"], *isins]))
    return [(name, _value(name, fields, request))]


def encoded(name: str, value: Mapping[str, Any]) -> bytes:
    """Return the bytes of a value of list `name`.

    Raises RequestMalformed if the connector would refuse the value.
    """
    try:
        name.encode()
        written = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"{error.object[error.start]!a}"
        raise RequestMalformed(
            f"List {printable(name)} or a text in it contains {half}, which is not UTF-8. Nothing was written."
        ) from None
    judged = control_record.parse(name, written)
    if isinstance(judged, Refusal):
        raise RequestMalformed(f"List {printable(name)} would be refused: {judged.reason}. Nothing was written.")
    return written


def removed(isins: Sequence[str], records: Mapping[str, bytes], *, confirm: bool) -> Records:
    """Return the tombstones of the lists named after these ISINs.

    Raises RequestMalformed if one of the lists does not exist.
    """
    missing = []
    for each in (each for each in isins if each not in records):
        others = printable(", ".join(naming(each, records)))
        where = f"; it is wanted by {others}: use --list." if others else ", and no list names it."
        missing.append(f"{each} has no record of its own{where}")
    if missing:
        raise RequestMalformed("\n".join([*missing, "Nothing was written."]))
    return [record for each in isins for record in tombstone(each, confirm=confirm)]


def removed_from(name: str, isins: Sequence[str], value: bytes | None, request: Request, *, confirm: bool) -> Records:
    """Return the record that removes these bonds from list `name`.

    Raises RequestMalformed if there is no such list, or if the list lacks one of the bonds.
    """
    fields = _fields(name, value)
    absent = [each for each in isins if each not in fields["instruments"]]
    if absent:
        raise RequestMalformed(f"{', '.join(absent)} is not in list {printable(name)}. Nothing was written.")
    fields["instruments"] = [each for each in fields["instruments"] if each not in set(isins)]
    return [(name, _value(name, fields, request, confirm=confirm))]


def paused(name: str, value: bytes | None, request: Request, *, is_paused: bool, confirm: bool) -> Records:
    """Return the record that pauses or resumes list `name`.

    Raises RequestMalformed if there is no such list.
    """
    return [(name, _value(name, _fields(name, value) | {"paused": is_paused}, request, confirm=confirm))]


def tombstone(name: str, *, confirm: bool) -> Records:
    """Return the records that remove list `name`.

    A tombstone cannot carry a confirmation, so a confirmed empty list is written before it.
    """
    return [*([(name, CONFIRMED_EMPTY)] if confirm else []), (name, None)]


def current_lists(control: Sequence[ControlRecord], status: Mapping[str, Any]) -> Lists:
    """Return the lists as the connector has them, from the control topic and the status records.

    If the latest control record of a list is refused or held back, the status record has the
    content that stays in force. If a list has no control record, the connector either held the
    removal back or has not read it yet. The list's status record counts only in the first case.
    """
    names = {subscription.list_name(record.key) for record in control}
    relevant = {
        key: record
        for key, record in status.items()
        if key.removeprefix(record_keys.LIST) in names or is_held_back(record.get("reason"))
    }
    return finished(subscription.restore(finished(saved_lists.from_status(relevant, None)), control))


def after(lists: Lists, records: Records) -> Lists:
    """Return the lists after these records are written."""
    coming = [ControlRecord(name.encode(), value, Position(0, place), 0) for place, (name, value) in enumerate(records)]
    return finished(subscription.judge(lists, coming))[0]


def held_back(lists: Lists, records: Records) -> str | None:
    """Return why the removal guard would hold one of these records back, or None if it would not.

    Raises RequestMalformed if the connector would refuse a record for another reason, because a
    confirmation would not help.
    """
    written = dict(records)
    for name, entry in after(lists, records).entries.items():
        if name not in written or entry.refusal is None:
            continue
        if not is_held_back(entry.refusal):
            raise RequestMalformed(f"List {printable(name)} would be refused: {entry.refusal}. Nothing was written.")
        # The rest of the reason tells other clients what to write. Here --confirm writes that.
        return printable(f"List {name}: {entry.refusal.partition(';')[0]}.")
    return None


def first_requested(content: InForce | None) -> str | None:
    """Return when the list was first requested (RFC 3339).

    An edit keeps this time, so that the list keeps its rank within its priority. Return None for a
    new list. Return None also if the time is lost: the record that made the request named no time
    and has been compacted away.
    """
    if content is None:
        return None
    if isinstance(named := content.wish.value.get("requested_at"), str):
        return named
    return control_record.shown_requested_at(content.requested_at)


def naming(each: str, records: Mapping[str, bytes]) -> list[str]:
    """Return the sorted names of the readable lists that name this bond."""
    wishes = {name: control_record.parse(name, value) for name, value in records.items()}
    return sorted(name for name, wish in wishes.items() if isinstance(wish, Wish) and each in wish.instruments)


def _fields(name: str, value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise RequestMalformed(f"There is no list {printable(name)}. Nothing was written.")
    wish = control_record.parse(name, value)
    if isinstance(wish, Refusal):
        raise RequestMalformed(
            f"The present value of list {printable(name)} was not understood, so it was not changed: {wish.reason}"
        )
    # A confirmation applies only to the removal it was given for.
    fields = {field: content for field, content in wish.value.items() if field != "confirm_removal"}
    return fields | {"instruments": list(wish.instruments)}


def _value(name: str, fields: dict[str, Any], request: Request, *, confirm: bool = False) -> bytes:
    fields |= {"confirm_removal": True} if confirm else {}
    return encoded(name, fields | {"requested_by": request.by, "requested_at": request.at})
