"""The prefixes of the keys of status records and events. Readers of the topics rely on them."""

from __future__ import annotations

from typing import Final

INSTRUMENT: Final = "instrument/"
LIST: Final = "list/"
SLOT: Final = "slot/"
