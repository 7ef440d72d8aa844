"""What `subs add` and `subs rm` write to the control topic, given what stands there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from connector.core.bonds import isin
from connector.core.lists import control_record, saved_lists, subscription
from connector.core.lists.control_record import Refusal, Wish
from connector.core.lists.subscription import GUARD_REASON, ControlRecord, InForce, Lists, Position
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIRMED_EMPTY = json.dumps({"instruments": [], "confirm_removal": True}).encode()

Records = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, and since when (RFC 3339)."""

    by: str
    at: str


def check(isins: Sequence[str]) -> list[str]:
    """Return the ISINs once each, in order. Raises RequestMalformed naming every malformed one and what is wrong with it."""
    wrong = [fault for each in isins if (fault := _fault(each))]
    if wrong:
        raise RequestMalformed("\n".join([*wrong, "Nothing was written."]))
    return list(dict.fromkeys(isins))


def _fault(text: str) -> str | None:
    if not isin.has_shape(text):
        return f"{text} is not an ISIN: it takes two capital letters, nine capitals or digits, and a check digit."
    if not isin.is_valid(text):
        return f"{text} is not an ISIN: its check digit is wrong, {isin.with_check_digit(text[:11])} would be right."
    return None


def added(isins: Sequence[str], name: str | None, present: bytes | None, request: Request) -> Records:
    """Return the records that add bonds: `{}` under each ISIN, or the present value of list `name` with them at its end."""
    if name is None:
        return [(each, b"{}") for each in isins]
    value = {"instruments": []} if present is None else _present(name, present)
    value["instruments"] = list(dict.fromkeys([*value["instruments"], *isins]))
    return [(name, _value(name, value, request))]


def encoded(name: str, value: Mapping[str, Any]) -> bytes:
    """Return the value of list `name` as it is written. Raises RequestMalformed where the connector would refuse it."""
    try:
        name.encode()
        written = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        shown = name.encode(errors="backslashreplace").decode()
        half = f"{error.object[error.start]!a}"
        raise RequestMalformed(
            f"List {shown} or a text of it holds {half}, which is not UTF-8. Nothing was written."
        ) from None
    judged = control_record.parse(name, written)
    if isinstance(judged, Refusal):
        raise RequestMalformed(f"List {name} would be refused: {judged.reason}. Nothing was written.")
    return written


def removed(isins: Sequence[str], records: Mapping[str, bytes], *, confirm: bool) -> Records:
    """Return the tombstones of the lists that are called like the ISINs. Raises RequestMalformed where there is none."""
    missing = [each for each in isins if each not in records]
    if missing:
        raise RequestMalformed("\n".join([_no_record(each, records) for each in missing] + ["Nothing was written."]))
    return [record for each in isins for record in tombstone(each, confirm=confirm)]


def _no_record(each: str, records: Mapping[str, bytes]) -> str:
    others = ", ".join(wanting(each, records))
    return f"{each} has no record of its own" + (
        f"; it is wanted by {others}: use --list." if others else ", and no list names it."
    )


def removed_from(name: str, isins: Sequence[str], present: bytes | None, request: Request, *, confirm: bool) -> Records:
    """Return the record of list `name` without these bonds. Raises RequestMalformed for an unknown list or a bond not in it."""
    if present is None:
        raise RequestMalformed(f"There is no list {name}. Nothing was written.")
    value = _present(name, present)
    absent = [each for each in isins if each not in value["instruments"]]
    if absent:
        raise RequestMalformed(f"{', '.join(absent)} is not in list {name}. Nothing was written.")
    value["instruments"] = [each for each in value["instruments"] if each not in set(isins)]
    return [(name, _value(name, value | ({"confirm_removal": True} if confirm else {}), request))]


def tombstone(name: str, *, confirm: bool) -> Records:
    """Return what removes list `name`. A tombstone cannot carry a confirmation, so a confirmed empty list goes before it."""
    return [*([(name, CONFIRMED_EMPTY)] if confirm else []), (name, None)]


def standing(control: Sequence[ControlRecord], status: Mapping[str, Any]) -> Lists:
    """Return the lists as the connector holds them: what the control topic says, and what stays in force of a refused or held-back record.

    `control` is what the topic holds, `status` what the connector reported by key. A report on a list without a record counts only where
    it says that the removal is held back: else it is merely behind.
    """
    names = {subscription.list_name(record.key) for record in control}
    reported = {
        key: record
        for key, record in status.items()
        if key.removeprefix("list/") in names or (record.get("reason") or "").startswith(GUARD_REASON)
    }
    return subscription.restore(saved_lists.from_status(reported, None), control)


def after(lists: Lists, records: Records) -> Lists:
    """Return the lists as the connector will hold them once these records are written."""
    coming = [ControlRecord(name.encode(), value, Position(0, place), 0) for place, (name, value) in enumerate(records)]
    return subscription.apply_all(lists, coming)


def held_back(lists: Lists, records: Records) -> str | None:
    """Return why the connector's guard against mass removal would hold one of these records back, None where it would not."""
    entries = after(lists, records).entries
    for name in dict(records):
        entry = entries.get(name)
        if entry is not None and (entry.refusal or "").startswith(GUARD_REASON):
            # What the guard suggests to any client is what --confirm does.
            return f"List {name}: {(entry.refusal or '').partition(';')[0]}."
    return None


def first_requested(content: InForce | None) -> str | None:
    """Return since when a list is asked for, RFC 3339: an edit keeps it, or the list would lose its place among those of its priority.

    None for a new list, and where nobody knows it any more, as of a record that named no time and is gone.
    """
    if content is None or not content.requested_at:
        return None
    told = content.wish.value.get("requested_at")
    at = (
        datetime.fromtimestamp(content.requested_at / 1e6, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
    return told if isinstance(told, str) else at


def wanting(each: str, records: Mapping[str, bytes]) -> list[str]:
    """Return the names of the lists, sorted, that name a bond and are readable."""
    wishes = {name: control_record.parse(name, value) for name, value in records.items()}
    return sorted(name for name, wish in wishes.items() if isinstance(wish, Wish) and each in wish.instruments)


def _present(name: str, value: bytes) -> dict[str, Any]:
    wish = control_record.parse(name, value)
    if isinstance(wish, Refusal):
        raise RequestMalformed(
            f"The present value of list {name} was not understood, so it was not changed: {wish.reason}"
        )
    # A confirmation belongs to the one removal it was given for.
    kept = {field: content for field, content in wish.value.items() if field != "confirm_removal"}
    return kept | {"instruments": list(wish.instruments)}


def _value(name: str, value: dict[str, Any], request: Request) -> bytes:
    return encoded(name, value | {"requested_by": request.by, "requested_at": request.at})
