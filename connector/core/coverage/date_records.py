"""The latest coverage record of each bond on one date, as any reader of the topic sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from connector.core.bonds.isin import has_shape
from connector.core.coverage.readable import PIECE_BYTES, readable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from connector.core.coverage.readable import Value

LARGEST: Final = 2 * 2**20  # bytes of a record
LONGEST_KEY: Final = 40


class DateRecords:
    """Give each record to `take`, in the order of its partition.

    `values` has the records by bond. `unreadable` has the bonds whose latest record is none. Anyone
    may have written the records, so what is kept has at most `most_bytes` of them, and a piece of a
    hole counts as PIECE_BYTES more than its text.
    """

    def __init__(self, trade_date: date, most_bytes: int) -> None:
        self.trade_date = trade_date
        self._ending = f"/{trade_date.isoformat()}".encode()
        self._most_bytes = most_bytes
        self._bytes = 0
        self._sizes: dict[str, int] = {}
        self.values: dict[str, Value] = {}
        self.unreadable: set[str] = set()

    def take(self, key: bytes | None, value: bytes | None) -> str | None:
        """Take in one record; return the bond it is of, or None if it changes nothing."""
        if key is None or len(key) > LONGEST_KEY or not key.endswith(self._ending):
            return None
        isin = key.removesuffix(self._ending).decode(errors="replace")
        if not has_shape(isin):
            return None
        if value is None:
            self.values.pop(isin, None)
            self.unreadable.discard(isin)
            self._note_size(isin, 0)
            return isin
        found = readable(value) if len(value) <= LARGEST else None
        if found is None:  # an earlier value is kept
            size = self._sizes.get(isin, len(key))
        elif isin in self.values and is_older(found, self.values[isin]):
            return None
        else:
            pieces = sum(len(hole["remaining"]) for hole in found["holes"])
            size = len(key) + len(value) + PIECE_BYTES * pieces
        if self._bytes + size - self._sizes.get(isin, 0) > self._most_bytes:
            return None
        self._note_size(isin, size)
        if found is None:
            self.unreadable.add(isin)
        else:
            self.values[isin] = found
            self.unreadable.discard(isin)
        return isin

    def _note_size(self, isin: str, size: int) -> None:
        self._bytes += size - self._sizes.pop(isin, 0)
        if size:
            self._sizes[isin] = size


def is_older(value: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Return whether a record knows less than another one of its key, and is ignored.

    Records of different partitions share no offset. A bond has two if the topic's partitions were
    raised that day; the one with the higher volume of the day knows the later trades.
    """
    if value["offsets"].keys().isdisjoint(known["offsets"]):
        return bool(value["accumulated_volume"] < known["accumulated_volume"])
    return any(value["offsets"].get(partition, -1) < offset for partition, offset in known["offsets"].items())
