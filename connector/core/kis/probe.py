"""Finds registrations that KIS has forgotten although the session goes on.

KIS answers OPSP0002 if we register a bond that it holds. So in market hours we register the bond
again that has shown no life for the longest time. OPSP0000 then says that KIS had lost the bond.
We put the session's other bonds in doubt, and each is confirmed again.

Only OPSP0002 for a held bond is documented. So the probe stops itself, for as long as the slot
lives, once KIS seems to react in another way. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from connector.core.kis.reply_codes import Reaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connector.core.kis.backoff import Cause

# If KIS ends a session so soon after a probe, the probe may be the reason.
BLAMED_SECONDS: Final = 5.0
# We end a session for these causes ourselves.
_OUR_CAUSES: Final = ("lease", "silence", "stop")

NEVER: Final = float("-inf")
REGISTERED_ANEW: Final = "OPSP0000"


@dataclass(frozen=True, slots=True)
class Lost:
    """KIS had lost the registration of a bond, which was silent for so many seconds.

    `why` is "probe" if nobody suspected the loss, and "doubt" if another bond was lost before.
    """

    isin: str
    silent_seconds: float
    why: Literal["probe", "doubt"]


class Probe:
    """Chooses the bonds to ask for, and judges KIS's answers. It lives as long as the slot.

    `seconds` is the least time between two probes; 0 means never. `last_tick_at` returns when a
    bond's latest tick was received, or None. `stopped` says why there are no probes any more.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        is_market_open: Callable[[], bool] = lambda: True,
        last_tick_at: Callable[[str], float | None] = lambda _: None,
    ) -> None:
        self._seconds = seconds
        self._is_market_open = is_market_open
        self._last_tick_at = last_tick_at
        self._next_at = float("inf")
        self._asked_at = NEVER
        # The bonds that KIS should hold, but that we ask for or will ask for.
        self._open: dict[str, Literal["probe", "doubt"]] = {}
        # A bond that brought no clear answer goes to the end, so that others have their turn.
        self._probed_at: dict[str, float] = {}
        self._confirmed_at: dict[str, float] = {}
        self._lost_at: dict[str, float] = {}
        self.stopped: str | None = None

    def begin(self, now: float) -> None:
        """Start a session."""
        self._open.clear()
        self._probed_at.clear()
        self._confirmed_at.clear()
        self._lost_at.clear()
        self._asked_at = NEVER
        self._next_at = now + self._seconds if self._seconds and self.stopped is None else float("inf")

    def end(self, cause: Cause, now: float) -> None:
        """End the session, and stop the probes if one of them may have ended it."""
        if now - self._asked_at <= BLAMED_SECONDS and cause not in _OUR_CAUSES:
            self._stop(f"the session ended ({cause}) just after a probe")
        self._next_at, self._asked_at = float("inf"), NEVER

    def _stop(self, why: str) -> None:
        self._next_at = float("inf")
        self.stopped = self.stopped or why

    @property
    def next_at(self) -> float:
        """When the next probe is due; infinity if none will be."""
        return self._next_at

    def choose(self, held: Iterable[str], now: float) -> str | None:
        """Return which of these bonds to ask for now, or None if no probe is due.

        If the market is closed, this turn is left out.
        """
        if now < self._next_at:
            return None
        self._next_at = now + self._seconds
        if not self._is_market_open():
            return None
        isin = min(held, key=lambda isin: max(self._alive_at(isin), self._probed_at.get(isin, NEVER)), default=None)
        if isin is not None:
            self._open[isin], self._probed_at[isin] = "probe", now
        return isin

    def _alive_at(self, isin: str) -> float:
        tick_at = self._last_tick_at(isin)
        return max(self._confirmed_at.get(isin, NEVER), NEVER if tick_at is None else tick_at)

    def doubt(self, isins: Iterable[str]) -> None:
        """Record that we will ask for these bonds, because KIS has lost another one."""
        self._open |= dict.fromkeys(isins, "doubt")

    def note_request(self, isin: str, now: float) -> None:
        """Record a request; if KIS should hold the bond, the request may end the session."""
        if isin in self._open:
            self._asked_at = now

    def judge(self, isin: str, what: Reaction, code: str, now: float) -> Lost | None:
        """Handle KIS's reply about a bond; return the loss that it shows, if any."""
        why = self._open.pop(isin, None)
        if what is Reaction.REGISTERED:
            loss = self._loss(isin, why, now) if why and code == REGISTERED_ANEW else None
            self._confirmed_at[isin] = now
            return loss
        if why == "probe" and what in (Reaction.REFUSE, Reaction.FULL):
            self._stop(f"KIS answered {code} to a probe")
        return None

    def _loss(self, isin: str, why: Literal["probe", "doubt"], now: float) -> Lost | None:
        before, tick_at = self._lost_at.get(isin), self._last_tick_at(isin)
        if before is not None and tick_at is not None and tick_at > before:
            self._stop(f"KIS answered {REGISTERED_ANEW} twice for a bond that ticked in between")
            return None
        self._lost_at[isin] = now
        return Lost(isin, max(0.0, now - self._alive_at(isin)), why)
