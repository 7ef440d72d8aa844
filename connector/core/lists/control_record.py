"""Reads the value of a control record strictly, and accepts or refuses the value as a whole."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from sys import intern
from typing import TYPE_CHECKING, Any, Final

from connector.core.bonds import isin
from connector.core.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Of a key and its value. The status record of an accepted list repeats both, so 512 bytes of the
# 1 MiB that Kafka's brokers accept by default are left for the rest of that record.
MAX_BYTES: Final = 1024 * 1024 - 512
MAX_INSTRUMENTS: Final = 10_000
MAX_NAME_CHARACTERS: Final = 200
# A refused list keeps its name in memory, in its status record and in the saved lists. So a
# longer key names no list.
MAX_KEY_CHARACTERS: Final = 1000
DEFAULT_PRIORITY: Final = 5

_NAMED_MISTAKES = 5
_SHOWN_CHARACTERS = 40
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(  # the time to the minute, the seconds, and the rest
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:)([0-9]{2})((?:\.[0-9]+)?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What an accepted value asks for.

    `instruments` has each bond once, in the order given. `requested_at` is in microseconds since
    1970 UTC.
    """

    instruments: tuple[str, ...]
    priority: int
    paused: bool
    requested_at: int | None
    confirm_removal: bool
    value: Mapping[str, Any] = field(repr=False)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The bonds that the list wants. A paused list wants none."""
        return () if self.paused else self.instruments

    @property
    def asks_for(self) -> tuple[frozenset[str], int, bool]:
        """What is asked for, without remarks: the bonds, their priority, and whether to pause."""
        return frozenset(self.instruments), self.priority, self.paused


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record was refused: which fields are wrong, what was found and what is expected."""

    reason: str


def parse(name: str, value: bytes) -> Wish | Refusal:
    """Read the value of a record of list `name`. Never raises; the caller handles tombstones."""
    if not value:
        return Refusal("the value has zero length: write a JSON object, or a null value to remove the list")
    if len(value) > (most := MAX_BYTES - len(name.encode(errors="replace"))):
        return Refusal(f"the value has {len(value)} bytes: at most {most} are allowed with this key")
    try:
        document = json.loads(value.decode(), object_pairs_hook=_members_once, parse_constant=_no_constant)
    except RecursionError:
        return Refusal("the JSON is nested too deeply: a control record is one flat object")
    except UnicodeDecodeError as error:
        return Refusal(f"the value is not UTF-8 at byte {error.start}")
    except ValueError as error:
        return Refusal(f"the value is not JSON: {error}")
    return from_json(name, document)


def from_json(name: str, document: object) -> Wish | Refusal:
    """Judge a JSON document as the value of list `name`. A refusal names up to five mistakes."""
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        return Refusal(f"the list name has {len(name)} characters: 1 to {MAX_NAME_CHARACTERS} are allowed")
    if not isinstance(document, dict):
        return Refusal(f"the value is {kind(document)}: write a JSON object")
    given = {member: content for member, content in document.items() if content is not None}
    unknown = [member for member in document if member not in _READERS]
    mistakes = [
        f"{_shown(member)} is unknown: the fields are {', '.join(_READERS)}" for member in unknown[:_NAMED_MISTAKES]
    ]
    unnamed = len(unknown) - len(mistakes)
    read: dict[str, Any] = {}
    for member, content in given.items():
        if member in _READERS:
            try:
                read[member] = _READERS[member](content)
            except ValueError as error:
                mistakes.append(str(error))
    if "instruments" not in given:
        if isin.is_valid(name):
            read["instruments"] = (name,)
        else:
            mistakes.append("instruments is missing: only a list whose name is a valid ISIN may leave it out")
    if mistakes:
        more = unnamed + len(mistakes) - _NAMED_MISTAKES
        return Refusal("; ".join(mistakes[:_NAMED_MISTAKES]) + (f"; and {more} more mistakes" if more > 0 else ""))
    if "instruments" in given:  # interned, so that all lists share one string for each ISIN
        document = document | {"instruments": list(map(intern, given["instruments"]))}
    return Wish(
        instruments=read["instruments"],
        priority=read.get("priority", DEFAULT_PRIORITY),
        paused=read.get("paused", False),
        requested_at=read.get("requested_at"),
        confirm_removal=read.get("confirm_removal", False),
        value=document,
    )


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        repeated, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{_shown(repeated)} is there twice, name each field once")
    return members


def _no_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value")


def _read_instruments(content: object) -> tuple[str, ...]:
    if not isinstance(content, list):
        raise ValueError(f"instruments is {kind(content)}: write an array of ISINs")
    if len(content) > MAX_INSTRUMENTS:
        raise ValueError(f"instruments has {len(content)} entries: at most {MAX_INSTRUMENTS} are allowed")
    wrong = [place for place, item in enumerate(content) if not (isinstance(item, str) and isin.is_valid(item))]
    if wrong:
        more = len(wrong) - _NAMED_MISTAKES
        named = [f"instruments[{place}] {_isin_fault(content[place])}" for place in wrong[:_NAMED_MISTAKES]]
        raise ValueError("; ".join(named) + (f"; and {more} more instruments" if more > 0 else ""))
    return tuple(dict.fromkeys(map(intern, content)))


def _isin_fault(item: object) -> str:
    if not isinstance(item, str):
        return f"is {kind(item)}: write an ISIN"
    if not isin.has_shape(item):
        return f"{_shown(item)} is not an ISIN: write two capitals, nine capitals or digits, and a check digit"
    return f"{_shown(item)} has a wrong check digit: {isin.with_check_digit(item[:11])} would be right"


def _read_priority(content: object) -> int:
    if type(content) is not int or not 0 <= content <= 9:
        raise ValueError(f"priority is {kind(content)}: write a whole number from 0 to 9")
    return content


def _read(name: str, of: type, expected: str, content: object) -> object:
    if not isinstance(content, of):
        raise ValueError(f"{name} is {kind(content)}: write {expected}")
    return content


def read_requested_at(content: object) -> int:
    """Return a time in RFC 3339 as microseconds since 1970 UTC; raises ValueError for others.

    A leap second (:60) counts as the second before it.
    """
    parts = _RFC_3339.fullmatch(content.upper()) if isinstance(content, str) else None
    if parts is None:
        raise ValueError(
            f"requested_at is {kind(content)}: write RFC 3339 with an offset, such as 2026-01-02T09:00:00+09:00"
        )
    minute, seconds, rest = parts.groups()
    try:
        at = datetime.fromisoformat(f"{minute}{'59' if seconds == '60' else seconds}{rest}")
    except ValueError:
        raise ValueError(f"requested_at is {kind(content)}: there is no such time") from None
    return (at - _EPOCH) // timedelta(microseconds=1)


def shown_requested_at(microseconds: int) -> str | None:
    """Return such a time as RFC 3339, or None if it is lost (0) or no date."""
    try:
        at = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # another client may write a record with any timestamp
        return None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if microseconds else None


_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "instruments": _read_instruments,
    "priority": _read_priority,
    "paused": partial(_read, "paused", bool, "true or false"),
    "requested_by": partial(_read, "requested_by", str, "a string"),
    "requested_at": read_requested_at,
    "note": partial(_read, "note", str, "a string"),
    "confirm_removal": partial(_read, "confirm_removal", bool, "true or false"),
}


def kind(content: object) -> str:
    """Return what foreign content is, or the content itself if it is simple, cut short."""
    match content:
        case None:
            return "null"
        case bool():
            return "true" if content else "false"
        case dict():
            return "an object"
        case list():
            return "an array"
        case int() if abs(content) >= 10**_SHOWN_CHARACTERS:
            return "a huge number"
        case _:
            return _shown(content)


def _shown(content: object) -> str:
    """Return foreign content cut short, so that a refusal stays short whatever was written."""
    text = content if isinstance(content, str) else str(content)
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return printable(json.dumps(cut, ensure_ascii=False) if isinstance(content, str) else cut)
