"""Reads a file of lists for `subs apply`, and compares it with the lists in the control topic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from connector.core.lists import control_record
from connector.core.lists.control_record import DEFAULT_PRIORITY, MAX_INSTRUMENTS, Refusal, Wish
from connector.core.lists.edits import encoded, first_requested, tombstone
from connector.core.printable import printable
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.core.lists.edits import Records, Request
    from connector.core.lists.subscription import InForce, Lists

_NOTHING: Final = Wish((), DEFAULT_PRIORITY, paused=False, requested_at=None, confirm_removal=False, value={})
# These fields say how a list came about, not what it wants, so they do not count as a change.
_ORIGIN: Final = ("requested_by", "requested_at", "confirm_removal")


@dataclass(frozen=True, slots=True)
class Change:
    """One list: the content in force and the content that the file asks for.

    `before` or `after` is None if there is no such content. `refusal` is why the list's latest
    record is not in force, or None if it is in force.
    """

    name: str
    before: InForce | None
    after: Wish | None
    refusal: str | None = None

    @property
    def kind(self) -> str:
        """`new`, `changed`, `removed` or `unchanged`."""
        if self.after is None:
            return "removed"
        if self.refusal is not None:
            return "changed"
        if self.before is None:
            return "new"
        return "unchanged" if _content(self.before.wish) == _content(self.after) else "changed"

    @property
    def added(self) -> list[str]:
        """The bonds that enter the list."""
        return sorted(set(self._to.instruments) - set(self._from.instruments))

    @property
    def removed(self) -> list[str]:
        """The bonds that leave the list."""
        return sorted(set(self._from.instruments) - set(self._to.instruments))

    @property
    def gained(self) -> list[str]:
        """The bonds that the list begins to want."""
        return sorted(set(self._to.wanted) - set(self._from.wanted))

    @property
    def lost(self) -> list[str]:
        """The bonds that the list ceases to want."""
        return sorted(set(self._from.wanted) - set(self._to.wanted))

    @property
    def _from(self) -> Wish:
        return self.before.wish if self.before else _NOTHING

    @property
    def _to(self) -> Wish:
        return self.after or _NOTHING

    @property
    def fields(self) -> dict[str, tuple[Any, Any]]:
        """The changed fields other than `instruments`, each with its values before and after."""
        if self.before is None or self.after is None:
            return {}
        before, after = _content(self.before.wish), _content(self.after)
        names = sorted((before.keys() | after.keys()) - {"instruments"})
        return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _content(wish: Wish) -> dict[str, Any]:
    rest = {name: content for name, content in wish.value.items() if name not in _ORIGIN and content is not None}
    return {**rest, "instruments": set(wish.instruments), "priority": wish.priority, "paused": wish.paused}


def parse(document: object) -> dict[str, Wish]:
    """Return the lists of a file's document by name.

    The document maps names to lists, or is a sequence of lists that each have a `name`. The mapping
    or sequence may also be the value of a single key `lists`. A list is an object with the fields
    of a control record. In a mapping, a list may also be a sequence of bonds.
    Raises RequestMalformed, which names every mistake.
    """
    wishes: dict[str, Wish] = {}
    mistakes: list[str] = []
    for name, content in _named(document, mistakes):
        if not isinstance(name, str):
            # YAML reads no as false, 0123 as 83 and 12:30 as 750. Only the author knows the name.
            remedy = "put the name in quotes, because YAML changes names such as no, ~, 0123 or 12:30"
            mistakes.append(f"{control_record.kind(name)} is not the name of a list: {remedy}.")
            continue
        if name in wishes:
            mistakes.append(f"List {printable(name)} appears twice: remove one of the two.")
            continue
        judged = control_record.from_json(
            name, {"instruments": content} if isinstance(content, list) else {} if content is None else content
        )
        if isinstance(judged, Refusal):
            mistakes.append(f"List {printable(name)}: {judged.reason}.")
        elif judged.confirm_removal:
            mistakes.append(
                f"List {printable(name)}: confirm_removal confirms one removal only: leave it out, and use --confirm."
            )
        else:
            wishes[name] = judged
    if not wishes and not mistakes:
        mistakes.append("The file contains no list.")
    if mistakes:
        raise RequestMalformed("\n".join([*mistakes, "Nothing was written."]))
    return wishes


def _named(document: object, mistakes: list[str]) -> Iterator[tuple[object, Any]]:
    match document:
        case {"lists": dict() | list() as lists, **rest} if not rest:
            document = lists
    match document:
        case dict():
            yield from document.items()
        case list():
            for place, entry in enumerate(document, 1):
                match entry:
                    case {"name": name, **rest}:
                        yield name, rest
                    case _:
                        mistakes.append(f"Entry {place} is not a list: give it a name and instruments.")
        case _:
            mistakes.append(
                "The file must map list names to lists: begin with a name, such as desk:, and its instruments."
            )


def compare(wanted: Mapping[str, Wish], lists: Lists, *, prune: bool) -> list[Change]:
    """Return a change for every list of the file, sorted by name.

    If `prune` is true, the lists that the file lacks are included, to be removed.
    """
    names = sorted(wanted.keys() | (lists.entries.keys() if prune else ()))
    return [
        Change(name, entry.in_force if entry else None, wanted.get(name), entry.refusal if entry else None)
        for name, entry in ((name, lists.entries.get(name)) for name in names)
    ]


def records(changes: list[Change], request: Request, *, confirm: bool) -> Records:
    """Return the records to write.

    An unchanged list needs no record. A changed list keeps the time of its first request.
    A bond that moves between lists is wanted after each of the records, so that it is not released
    and the removal guard sees no removal: lists that gain bonds are written before lists that only
    lose bonds. Lists that exchange bonds are first written with the bonds of both.
    Raises RequestMalformed if the connector would refuse a value.
    """
    written: Records = []
    exchanging = [change for change in changes if change.gained and change.lost]
    leaving = {isin for change in exchanging for isin in change.lost}
    for change in exchanging:
        if coming := sorted(leaving.intersection(change.gained)):
            written += _widened(change, coming, request)
    for change in sorted(changes, key=lambda change: (bool(change.lost), not change.gained)):
        if change.after is None:
            written += tombstone(change.name, confirm=confirm)
        elif change.kind != "unchanged":
            written.append((change.name, _value(change, change.after, request, confirm=confirm)))
    return written


def _widened(change: Change, coming: list[str], request: Request) -> Records:
    """Return the record that adds bonds and removes none, or no record if it would be too long."""
    before, after = change.before, change.after
    if before is None or after is None or len(before.wish.instruments) + len(coming) > MAX_INSTRUMENTS:
        return []
    wish = replace(after, instruments=(*before.wish.instruments, *coming))
    return [(change.name, _value(change, wish, request, confirm=False))]


def _value(change: Change, after: Wish, request: Request, *, confirm: bool) -> bytes:
    value: dict[str, Any] = {"requested_by": request.by, "requested_at": first_requested(change.before) or request.at}
    value |= {field: content for field, content in after.value.items() if content is not None}
    value["instruments"] = list(after.instruments)
    if confirm and (change.removed or after.paused):
        value["confirm_removal"] = True
    return encoded(change.name, value)
