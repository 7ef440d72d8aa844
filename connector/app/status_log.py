"""Logs what the status records newly say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from connector.core.record_keys import INSTRUMENT, LIST

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from connector.core.status import Record

log = structlog.get_logger("connector.plan")

MOST_LINES: Final = 20  # a line takes a quarter of a millisecond


class StatusLog:
    """Tells an operator what became of the lists, and of clocks that differ."""

    def __init__(self) -> None:
        self._is_nothing_wanted = False
        self._ahead: frozenset[str] = frozenset()

    def note_clocks(self, ahead: Mapping[str, float]) -> None:
        """Warn of the owners whose clocks are ahead of ours since the last call, in seconds."""
        for owner in sorted(ahead.keys() - self._ahead):
            log.warning("clocks_differ", owner=owner, seconds_ahead=round(ahead[owner]))
        self._ahead = frozenset(ahead)

    def note_wanted(self, isins: Collection[str]) -> None:
        """Say once that nothing is wanted, until something was wanted in between."""
        if not isins and not self._is_nothing_wanted:
            log.info("nothing_wanted", message="No list wants a bond yet. kis-bond subs add ISIN asks for one.")
        self._is_nothing_wanted = not isins

    def note(self, before: Mapping[str, Record], after: Mapping[str, Record], changed: Iterable[str]) -> None:
        """Log what is new in the records of the keys `changed`.

        Above MOST_LINES of a kind, the rest is one line: a thousand would hold up the event loop.
        """
        accepted, active = [], []
        for key in changed:
            old, new = before.get(key, {}), after.get(key, {})
            if key.startswith(LIST) and new.get("state") == "ACCEPTED" and old.get("control") != new["control"]:
                accepted.append(key)
            elif key.startswith(INSTRUMENT) and new.get("state") == "ACTIVE" != old.get("state"):
                active.append(key)
        for key in accepted[:MOST_LINES]:
            log.info("list_accepted", list=key.removeprefix(LIST), bonds=after[key]["instruments"])
        if more := accepted[MOST_LINES:]:
            log.info("more_lists_accepted", lists=len(more))
        for key in active[:MOST_LINES]:
            log.info("bond_active", isin=key.removeprefix(INSTRUMENT), slot=after[key]["slot"])
        if more := active[MOST_LINES:]:
            log.info("more_bonds_active", bonds=len(more))
