"""The latest coverage record of each bond on one date, as any reader of the topic sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from connector.core.bonds.isin import has_shape
from connector.core.coverage.readable import readable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from connector.core.coverage.readable import Value

LARGEST: Final = 2 * 2**20  # bytes of a record


class DateRecords:
    """Give each record to `take`, in the order of its partition.

    `values` has the records by bond. `unreadable` has the bonds whose latest record is none. At
    most `most_bonds` are kept, because anyone may have written the records.
    """

    def __init__(self, trade_date: date, most_bonds: int) -> None:
        self.trade_date = trade_date
        self._ending = f"/{trade_date.isoformat()}".encode()
        self._most_bonds = most_bonds
        self.values: dict[str, Value] = {}
        self.unreadable: set[str] = set()

    def take(self, key: bytes | None, value: bytes | None) -> str | None:
        """Take in one record; return the bond it is of, or None if it changes nothing."""
        if key is None or not key.endswith(self._ending):
            return None
        isin = key.removesuffix(self._ending).decode(errors="replace")
        if not has_shape(isin) or not (self._knows(isin) or self._has_room()):
            return None
        if value is None:
            self.values.pop(isin, None)
            self.unreadable.discard(isin)
            return isin
        found = readable(value) if len(value) <= LARGEST else None
        if found is None:
            self.unreadable.add(isin)
        elif isin not in self.values or not is_older(found, self.values[isin]):
            self.values[isin] = found
            self.unreadable.discard(isin)
        return isin

    def _knows(self, isin: str) -> bool:
        return isin in self.values or isin in self.unreadable

    def _has_room(self) -> bool:
        return max(len(self.values), len(self.unreadable)) < self._most_bonds


def is_older(value: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Return whether a record holds fewer ticks than another one of its key, and is ignored."""
    return any(value["offsets"].get(partition, -1) < offset for partition, offset in known["offsets"].items())
