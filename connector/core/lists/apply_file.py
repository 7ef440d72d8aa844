"""A file of lists, as `subs apply` takes it: what it holds, and how far the control topic is from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from connector.core.lists import control_record
from connector.core.lists.control_record import Refusal, Wish
from connector.core.lists.edits import encoded, first_requested, tombstone
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.core.lists.edits import Records, Request
    from connector.core.lists.subscription import InForce, Lists

_HUGE: Final = 10**40
# Fields that say how a list came about, not what it wants: a difference in them alone is none.
_ORIGIN: Final = ("requested_by", "requested_at", "confirm_removal")


@dataclass(frozen=True, slots=True)
class Change:
    """One list: what is in force and what the file wants, None where there is none; `refusal` is why its latest record is not."""

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
        """The bonds the list gets."""
        return (
            []
            if self.after is None
            else sorted(set(self.after.instruments) - set(self.before.wish.instruments if self.before else ()))
        )

    @property
    def removed(self) -> list[str]:
        """The bonds the list loses."""
        return (
            []
            if self.before is None
            else sorted(set(self.before.wish.instruments) - set(self.after.instruments if self.after else ()))
        )

    @property
    def gained(self) -> list[str]:
        """The bonds the list wants that it did not want, paused lists wanting none."""
        return sorted(set(self._active_after) - set(self._active_before))

    @property
    def lost(self) -> list[str]:
        """The bonds the list wanted and wants no more, paused lists wanting none."""
        return sorted(set(self._active_before) - set(self._active_after))

    @property
    def _active_before(self) -> tuple[str, ...]:
        return active(self.before.wish) if self.before else ()

    @property
    def _active_after(self) -> tuple[str, ...]:
        return active(self.after) if self.after else ()

    @property
    def fields(self) -> dict[str, tuple[Any, Any]]:
        """The other fields that differ, as before and after."""
        if self.before is None or self.after is None:
            return {}
        before, after = _content(self.before.wish), _content(self.after)
        names = (
            name
            for name in sorted(before.keys() | after.keys())
            if name != "instruments" and before.get(name) != after.get(name)
        )
        return {name: (before.get(name), after.get(name)) for name in names}


def active(wish: Wish) -> tuple[str, ...]:
    """Return the bonds a list asks for: none while it is paused."""
    return () if wish.paused else wish.instruments


def _content(wish: Wish) -> dict[str, Any]:
    rest = {name: content for name, content in wish.value.items() if name not in _ORIGIN and content is not None}
    return {**rest, "instruments": set(wish.instruments), "priority": wish.priority, "paused": wish.paused}


def parse(document: object) -> dict[str, Wish]:
    """Return the lists of a file's document: a mapping of name to list, or a sequence of lists with their `name`, alone or under `lists`.

    A list is an object with the fields of a control record, or merely a sequence of bonds. Raises RequestMalformed with every mistake.
    """
    wishes: dict[str, Wish] = {}
    mistakes: list[str] = []
    for name, content in _named(document, mistakes):
        if name in wishes:
            mistakes.append(f"List {name} stands twice: remove one of the two.")
            continue
        judged = control_record.from_json(
            name, {"instruments": content} if isinstance(content, list) else {} if content is None else content
        )
        if isinstance(judged, Refusal):
            mistakes.append(f"List {name}: {judged.reason}.")
        elif judged.confirm_removal:
            mistakes.append(f"List {name}: confirm_removal belongs to one removal: leave it out, and use --confirm.")
        else:
            wishes[name] = judged
    if not wishes and not mistakes:
        mistakes.append("The file holds no list.")
    if mistakes:
        raise RequestMalformed("\n".join([*mistakes, "Nothing was written."]))
    return wishes


def _named(document: object, mistakes: list[str]) -> Iterator[tuple[str, Any]]:
    match document:
        case {"lists": dict() | list() as lists, **rest} if not rest:
            document = lists
    match document:
        case dict():
            for name, content in document.items():
                if isinstance(name, str):
                    yield name, content
                else:
                    mistakes.append(_no_text(name))
        case list():
            for place, entry in enumerate(document, 1):
                match entry:
                    case {"name": str(name), **rest}:
                        yield name, rest
                    case {"name": name}:
                        mistakes.append(_no_text(name))
                    case _:
                        mistakes.append(f"Entry {place} is no list: give it a name and instruments.")
        case _:
            mistakes.append(
                "The file is no mapping of list names to lists: begin with a name, such as desk:, and its instruments."
            )


def _no_text(name: object) -> str:
    # YAML reads no as false, 0123 as 83 and 12:30 as 750: what the name was meant to be is known to its author alone.
    shown = "a huge number" if isinstance(name, int) and abs(name) >= _HUGE else f"{name!r:.40}"
    return f"{shown} is no name of a list: put the name in quotes, as YAML makes other values of no, ~, 0123 or 12:30."


def compare(wanted: Mapping[str, Wish], lists: Lists, *, prune: bool) -> list[Change]:
    """Return every list of the file and, to be pruned, those the file lacks, by name."""
    changes = []
    for name in sorted(wanted.keys() | (lists.entries.keys() if prune else ())):
        entry = lists.entries.get(name)
        changes.append(
            Change(name, entry.in_force if entry else None, wanted.get(name), entry.refusal if entry else None)
        )
    return changes


def records(changes: list[Change], request: Request, *, confirm: bool) -> Records:
    """Return what has to be written: nothing for what is unchanged, and the first request's time for what was there before.

    Lists that gain bonds come before those that only lose some: a bond that moves is wanted all the time, and the guard sees no removal.
    Raises RequestMalformed where the connector would refuse a value.
    """
    written: Records = []
    for change in sorted(changes, key=lambda change: (bool(change.lost), not change.gained)):
        if change.after is None:
            written += tombstone(change.name, confirm=confirm)
        elif change.kind != "unchanged":
            written.append((change.name, _value(change, change.after, request, confirm=confirm)))
    return written


def _value(change: Change, after: Wish, request: Request, *, confirm: bool) -> bytes:
    value: dict[str, Any] = {"requested_by": request.by, "requested_at": first_requested(change.before) or request.at}
    value |= {field: content for field, content in after.value.items() if content is not None}
    value["instruments"] = list(after.instruments)
    if confirm and (change.removed or after.paused):
        value["confirm_removal"] = True
    return encoded(change.name, value)
