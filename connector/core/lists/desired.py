"""Computes which bonds the lists want together, from what changed in the lists."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from connector.core.lists.subscription import Entry, InForce, Lists, Position


class Desired(NamedTuple):
    """One desired bond.

    `lists` are the sorted names of the lists that want the bond. `control` is the position of the
    latest accepted record that names the bond, even if the record's list is paused.
    """

    isin: str
    priority: int
    requested_at: int
    lists: tuple[str, ...]
    control: Position


def _rank(bond: Desired) -> tuple[int, int, str]:
    return -bond.priority, bond.requested_at, bond.isin


class Wanted:
    """The lists while they are being changed, and what they want.

    `entries` are the lists, and `count` is the number of desired bonds, after the changes so far.
    `finish` computes the desired bonds once. It merges lists only for bonds that a changed list
    names. All other bonds stay the same objects.
    """

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self.entries = dict(lists.entries)
        self._added: Counter[str] = Counter()
        self._before: dict[str, InForce | None] = {}
        self.count = len(lists.desired)

    def _wanted_by(self, isin: str) -> int:
        """Return how many lists want a bond."""
        bond = self._lists.desired.get(isin)
        return (0 if bond is None else len(bond.lists)) + self._added[isin]

    def put(self, name: str, entry: Entry | None) -> None:
        """Replace a list, or remove it if `entry` is None."""
        before = self.entries.pop(name, None)
        if entry is not None:
            self.entries[name] = entry
        old, new = (each.in_force if each else None for each in (before, entry))
        if old is new:
            return
        self._before.setdefault(name, old)
        old_bonds, new_bonds = _active(old), _active(new)
        for isin in new_bonds - old_bonds:
            self.count += self._wanted_by(isin) == 0
            self._added[isin] += 1
        for isin in old_bonds - new_bonds:
            self._added[isin] -= 1
            self.count -= self._wanted_by(isin) == 0

    def finish(self) -> Generator[None, None, Lists]:
        """Return the lists after all changes, computed in steps."""
        contents = {name: entry.in_force for name, entry in self.entries.items() if entry.in_force is not None}
        changes = [(old, contents.get(name)) for name, old in self._before.items()]
        changed = [content for old, new in changes if old is not new for content in (old, new) if content is not None]
        naming: dict[str, list[str]] = {isin: [] for content in changed for isin in content.wish.instruments}
        for name, content in contents.items():
            for isin in naming.keys() & content.wish.instruments:
                naming[isin].append(name)
            yield
        desired, is_ranked = dict(self._lists.desired), True
        # Many bonds are named by the same lists, so each combination of lists is merged only once.
        merged: dict[tuple[str, ...], tuple[int, int, tuple[str, ...], Position] | None] = {(): None}
        for isin, lists in naming.items():
            if (names := tuple(sorted(lists))) not in merged:
                merged[names] = _merged({name: contents[name] for name in names})
            before, claim = desired.get(isin), merged[names]
            if claim is None:
                desired.pop(isin, None)
            elif before != (bond := Desired(isin, *claim)):
                desired[isin] = bond
                is_ranked = is_ranked and before is not None and _rank(bond) == _rank(before)
            yield
        if not is_ranked:
            desired = {bond.isin: bond for bond in sorted(desired.values(), key=_rank)}
        return replace(self._lists, entries=self.entries, desired=desired)


def newly_asked(before: Lists, after: Lists) -> frozenset[str]:
    """Return the bonds that a list newly wants, or whose priority changed.

    A list that is written again with another note, requester or time asks for nothing new.
    """
    found: set[str] = set()
    wanted_so_far: set[str] = set()
    for name in before.entries.keys() | after.entries.keys():
        old, new = before.entries.get(name), after.entries.get(name)
        if old is new:
            continue
        wanted_before, wanted = (_active(each.in_force if each else None) for each in (old, new))
        found |= wanted - wanted_before
        wanted_so_far |= wanted_before
    both = wanted_so_far & before.desired.keys() & after.desired.keys()
    return frozenset(found | {isin for isin in both if before.desired[isin].priority != after.desired[isin].priority})


def _active(content: InForce | None) -> frozenset[str]:
    """Return the bonds that a list wants. A paused list wants none."""
    return frozenset(() if content is None else content.wish.wanted)


def _merged(contents: Mapping[str, InForce]) -> tuple[int, int, tuple[str, ...], Position] | None:
    """Return the fields of `Desired` after the ISIN, or None if all these lists are paused."""
    wanting = {name: content for name, content in contents.items() if not content.wish.paused}
    if not wanting:
        return None
    return (
        max(content.wish.priority for content in wanting.values()),
        min(content.requested_at for content in wanting.values()),
        tuple(wanting),
        max(content.control for content in contents.values()),
    )
