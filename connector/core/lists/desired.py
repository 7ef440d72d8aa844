"""Which bonds the lists want together, kept up to date change by change."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connector.core.lists.subscription import Entry, InForce, Lists, Position


class Desired(NamedTuple):
    """One desired bond.

    `lists` are the names of the lists that want it, sorted. `control` is the latest accepted record
    that names it, also in a paused list.
    """

    isin: str
    priority: int
    requested_at: int
    lists: tuple[str, ...]
    control: Position


def _rank(bond: Desired) -> tuple[int, int, str]:
    return -bond.priority, bond.requested_at, bond.isin


def _claim(content: InForce) -> tuple[bool, int, int]:
    return content.wish.paused, content.wish.priority, content.requested_at


class Wanted:
    """The desired bonds of lists that are being changed, as in `Lists`; `entries` are those lists.

    A change costs what its list names, and not what all lists hold. A bond that a change does not
    touch stays the same object.
    """

    def __init__(self, lists: Lists, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self.desired = dict(lists.desired)
        self.named_by = dict(lists.named_by)
        self._ranking = lists.ranking
        self._moved: set[str] = set()

    def ranking(self) -> tuple[str, ...]:
        """Return the ISINs by priority (higher first), time of the request and ISIN."""
        if not self._moved:
            return self._ranking
        moved = sorted(_rank(self.desired[isin]) for isin in self._moved if isin in self.desired)
        ranks = [_rank(self.desired[isin]) for isin in self._ranking if isin not in self._moved]
        # Both parts are in order, so that sorting only merges them.
        return tuple(isin for _, _, isin in sorted(ranks + moved))

    def change(self, name: str, old: InForce | None, new: InForce | None) -> None:
        """Follow the change of one list, which `entries` has already."""
        if old is new:
            return
        old_bonds = frozenset(() if old is None else old.wish.instruments)
        new_bonds = frozenset(() if new is None else new.wish.instruments)
        for isin in new_bonds - old_bonds:
            self.named_by[isin] = tuple(sorted((*self.named_by.get(isin, ()), name)))
        for isin in old_bonds - new_bonds:
            self.named_by[isin] = tuple(other for other in self.named_by[isin] if other != name)
        self._update(old_bonds ^ new_bonds)
        if old is not None and new is not None:
            self._update_kept(old_bonds & new_bonds, old, new)

    def _update_kept(self, isins: Iterable[str], old: InForce, new: InForce) -> None:
        """Update bonds that a list named before and still names."""
        if _claim(old) != _claim(new) or new.control < old.control:
            self._update(isins)
            return
        for isin in isins:
            if (bond := self.desired.get(isin)) is not None and bond.control < new.control:
                self.desired[isin] = Desired(isin, bond.priority, bond.requested_at, bond.lists, new.control)

    def _update(self, isins: Iterable[str]) -> None:
        # Many bonds are named by the same lists, so each group of lists is merged once.
        merged: dict[tuple[str, ...], tuple[int, int, tuple[str, ...], Position] | None] = {(): None}
        for isin in isins:
            names = self.named_by[isin]
            if names not in merged:
                merged[names] = self._merged(names)
            claim = merged[names]
            self._want(isin, None if claim is None else Desired(isin, *claim))
            if not names:
                del self.named_by[isin]

    def _merged(self, names: tuple[str, ...]) -> tuple[int, int, tuple[str, ...], Position] | None:
        """Return what these lists want together, as in `Desired`; None if all are paused."""
        contents = {name: content for name in names if (content := self._entries[name].in_force) is not None}
        active = {name: content for name, content in contents.items() if not content.wish.paused}
        if not active:
            return None
        return (
            max(content.wish.priority for content in active.values()),
            min(content.requested_at for content in active.values()),
            tuple(active),
            max(content.control for content in contents.values()),
        )

    def _want(self, isin: str, bond: Desired | None) -> None:
        before = self.desired.pop(isin, None) if bond is None else self.desired.get(isin)
        if bond is not None:
            self.desired[isin] = bond
        if bond is None or before is None or _rank(bond) != _rank(before):
            self._moved.add(isin)
