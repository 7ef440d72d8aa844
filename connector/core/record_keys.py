"""The prefixes of the keys of status records and events: a contract with their readers."""

from __future__ import annotations

from typing import Final

INSTRUMENT: Final = "instrument/"
LIST: Final = "list/"
SLOT: Final = "slot/"
