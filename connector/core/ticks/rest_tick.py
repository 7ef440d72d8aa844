"""Makes ticks of the trades that KIS's REST list reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connector.core.ticks.avro import Source  # noqa: TC001 - a constant has this type
from connector.core.ticks.frame import WireRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE: Final[Source] = "rest"


def rest_record(isin: str, columns: Sequence[str], texts: dict[str, str]) -> WireRecord:
    """Return a trade as a record of the given columns; what KIS's list does not give is empty.

    `texts` has the columns that the list gives, as KIS sent them. The raw text, on which the
    `tick_id` rests, has the form `rest|ISIN|HHMMSS|price|cntg_vol|acml_vol`.
    """
    given = texts | {"STND_ISCD": isin}
    named = (given[name] for name in ("STND_ISCD", "STCK_CNTG_HOUR", "STCK_PRPR", "CNTG_VOL", "ACML_VOL"))
    return WireRecord([given.get(name, "") for name in columns], "|".join((SOURCE, *named)))
