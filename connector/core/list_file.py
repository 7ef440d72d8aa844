"""A file of lists, as `subs apply` takes it: what it holds, and how far the control topic is from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from connector.core import control_record
from connector.core.control_record import Refusal, Wish
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.core.list_edit import Records, Request

# Fields that say how a list came about, not what it wants: a difference in them alone is none.
_ORIGIN: Final = ("requested_by", "requested_at", "confirm_removal")


@dataclass(frozen=True, slots=True)
class Present:
    """A list's record in the control topic; `timestamp_ms` is Kafka's."""

    value: bytes
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Change:
    """One list: as it stands in the topic and as the file wants it, None where there is none; `misread` says why the former is refused."""

    name: str
    before: Wish | None
    after: Wish | None
    misread: str | None = None

    @property
    def kind(self) -> str:
        """`new`, `changed`, `removed` or `unchanged`."""
        if self.after is None:
            return "removed"
        if self.before is None:
            return "changed" if self.misread else "new"
        return "unchanged" if _content(self.before) == _content(self.after) else "changed"

    @property
    def added(self) -> list[str]:
        """The bonds the list gets."""
        return [] if self.after is None else sorted(set(self.after.instruments) - set(self.before.instruments if self.before else ()))

    @property
    def removed(self) -> list[str]:
        """The bonds the list loses."""
        return [] if self.before is None else sorted(set(self.before.instruments) - set(self.after.instruments if self.after else ()))

    @property
    def fields(self) -> dict[str, tuple[Any, Any]]:
        """The other fields that differ, as before and after."""
        if self.before is None or self.after is None:
            return {}
        before, after = _content(self.before), _content(self.after)
        names = (name for name in sorted(before.keys() | after.keys()) if name != "instruments" and before.get(name) != after.get(name))
        return {name: (before.get(name), after.get(name)) for name in names}


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
            yield from _named(lists, mistakes)
        case dict():
            yield from ((str(name), content) for name, content in document.items())
        case list():
            for place, entry in enumerate(document, 1):
                match entry:
                    case {"name": str(name), **rest}:
                        yield name, rest
                    case _:
                        mistakes.append(f"Entry {place} is no list: give it a name and instruments.")
        case _:
            mistakes.append("The file is no mapping of list names to lists: begin with a name, such as desk:, and its instruments.")


def compare(wanted: Mapping[str, Wish], present: Mapping[str, Present], *, prune: bool) -> list[Change]:
    """Return every list of the file and, to be pruned, those of the topic that the file lacks, by name."""
    names = sorted(wanted.keys() | (present.keys() if prune else ()))
    return [_change(name, wanted.get(name), present.get(name)) for name in names]


def _change(name: str, after: Wish | None, present: Present | None) -> Change:
    before = None if present is None else control_record.parse(name, present.value)
    return Change(name, None, after, before.reason) if isinstance(before, Refusal) else Change(name, before, after)


def records(changes: list[Change], present: Mapping[str, Present], request: Request, *, confirm: bool) -> Records:
    """Return what has to be written: nothing for what is unchanged, and the first request's time for what was there before."""
    written: Records = []
    for change in changes:
        if change.after is None:
            written += [(change.name, json.dumps({"instruments": [], "confirm_removal": True}).encode())] if confirm else []
            written.append((change.name, None))
        elif change.kind != "unchanged":
            written.append((change.name, _value(change, change.after, present.get(change.name), request, confirm=confirm)))
    return written


def _value(change: Change, after: Wish, present: Present | None, request: Request, *, confirm: bool) -> bytes:
    since = request.at
    if change.before is not None and present is not None:
        told = change.before.value.get("requested_at")
        since = told or datetime.fromtimestamp(present.timestamp_ms / 1e3, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    value = {"requested_by": request.by, "requested_at": since} | {k: v for k, v in after.value.items() if v is not None}
    value["instruments"] = list(after.instruments)
    if confirm and (change.removed or after.paused):
        value["confirm_removal"] = True
    return json.dumps(value, ensure_ascii=False).encode()
