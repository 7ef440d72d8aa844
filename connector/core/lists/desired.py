"""Computes which bonds the lists want together, from what changed in the lists."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from connector.core.steps import STEP_BONDS, step_ends

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

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


# Up to this many bonds are moved to their new places one by one. If more move, all are sorted.
FEW = 50

Result = tuple[dict[str, Desired], dict[str, tuple[str, ...]]]


class Wanted:
    """The lists while they are being changed, and what they want.

    `entries` are the lists, and `count` is the number of desired bonds, after the changes so far.
    `finish` computes everything else once. It merges lists only for bonds that a changed list
    names. All other bonds stay the same objects.
    """

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self.entries = dict(lists.entries)
        self._added: dict[str, int] = {}
        self._before: dict[str, InForce | None] = {}
        self.count = len(lists.desired)

    def wanted_by(self, isin: str) -> int:
        """Return how many lists want a bond."""
        bond = self._lists.desired.get(isin)
        return (0 if bond is None else len(bond.lists)) + self._added.get(isin, 0)

    def put(self, name: str, entry: Entry | None) -> None:
        """Replace a list, or remove it if `entry` is None."""
        before = self.entries.pop(name, None)
        if entry is not None:
            self.entries[name] = entry
        old, new = (each.in_force if each else None for each in (before, entry))
        if old is new:
            return
        self._before.setdefault(name, old)
        old_bonds, new_bonds = active(old), active(new)
        for isin in new_bonds - old_bonds:
            self.count += self.wanted_by(isin) == 0
            self._added[isin] = self._added.get(isin, 0) + 1
        for isin in old_bonds - new_bonds:
            self._added[isin] = self._added.get(isin, 0) - 1
            self.count -= self.wanted_by(isin) == 0

    def finish(self) -> Generator[None, None, Result]:
        """Return the ranked desired bonds and `named_by` after all changes, computed in steps."""
        contents = {name: entry.in_force for name, entry in self.entries.items() if entry.in_force is not None}
        changes = [(name, old, contents.get(name)) for name, old in self._before.items()]
        changes = [(name, old, new) for name, old, new in changes if old is not new]
        named_by = dict(self._lists.named_by)
        yield from _follow(named_by, changes)
        touched: set[str] = set().union(*(_named(old) | _named(new) for _, old, new in changes))
        desired = dict(self._lists.desired)
        moved = yield from _merge(desired, touched, named_by, contents)
        yield
        return self._ranked(desired, moved), named_by

    def _ranked(self, desired: Mapping[str, Desired], moved: set[str]) -> dict[str, Desired]:
        """Return the bonds in their order, of which only the `moved` ones have another place."""
        before = self._lists.desired
        if len(moved) <= FEW:
            ranking = list(before)
            for isin in moved & before.keys():
                del ranking[bisect_left(ranking, _rank(before[isin]), key=lambda isin: _rank(before[isin]))]
            for isin in moved & desired.keys():
                insort(ranking, isin, key=lambda isin: _rank(desired[isin]))
        else:
            ranks = [_rank(desired[isin]) for isin in before if isin not in moved]
            # Each part is in order already, so the last `sorted` only merges the two.
            ranks += sorted(_rank(desired[isin]) for isin in moved if isin in desired)
            ranking = [isin for _, _, isin in sorted(ranks)]
        return {isin: desired[isin] for isin in ranking}


def newly_asked(before: Lists, after: Lists) -> frozenset[str]:
    """Return the bonds that a list newly wants, or whose priority changed.

    A list that is written again with another note, requester or time asks for nothing new.
    """
    found: set[str] = set()
    for name in before.entries.keys() | after.entries.keys():
        old, new = before.entries.get(name), after.entries.get(name)
        if old is new:
            continue
        wanted_before, wanted = (active(each.in_force if each else None) for each in (old, new))
        found |= wanted - wanted_before
        both = (wanted_before | wanted) & before.desired.keys() & after.desired.keys()
        found |= {isin for isin in both if before.desired[isin].priority != after.desired[isin].priority}
    return frozenset(found)


def active(content: InForce | None) -> frozenset[str]:
    """Return the bonds that a list wants. A paused list wants none."""
    return frozenset(() if content is None else content.wish.wanted)


def _named(content: InForce | None) -> frozenset[str]:
    return frozenset(() if content is None else content.wish.instruments)


def _follow(
    named_by: dict[str, tuple[str, ...]], changes: Iterable[tuple[str, InForce | None, InForce | None]]
) -> Generator[None, None, None]:
    """Update `named_by`."""
    names: dict[str, set[str]] = {}
    for name, old, new in changes:
        for isin in _named(old) ^ _named(new):
            if isin not in names:
                names[isin] = set(named_by.get(isin, ()))
            names[isin] ^= {name}
        if len(names) >= STEP_BONDS:
            yield
    for (isin, found), ends in zip(names.items(), step_ends(map(len, names.values())), strict=True):
        if found:
            named_by[isin] = tuple(sorted(found))
        else:
            del named_by[isin]
        if ends:
            yield


def _merge(
    desired: dict[str, Desired],
    isins: Iterable[str],
    named_by: Mapping[str, tuple[str, ...]],
    contents: Mapping[str, InForce],
) -> Generator[None, None, set[str]]:
    """Compute these bonds from all lists that name them.

    Return the bonds whose rank changed, and those that are desired only before or only after.
    """
    # Many bonds are named by the same lists, so each combination of lists is merged only once.
    merged: dict[tuple[str, ...], tuple[int, int, tuple[str, ...], Position] | None] = {(): None}
    moved: set[str] = set()
    for isin, ends in zip(isins, step_ends(repeat(0)), strict=False):
        names = named_by.get(isin, ())
        if names not in merged:
            merged[names] = _merged({name: contents[name] for name in names})
        claim, before = merged[names], desired.pop(isin, None)
        if claim is not None:
            bond = Desired(isin, *claim)
            desired[isin] = before if before == bond else bond
        if claim is None or before is None or _rank(bond) != _rank(before):
            moved.add(isin)
        if ends:
            yield
    return moved


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
