"""Counters of a run, and for how long clients kept KIS waiting."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stats:
    """Counts what was sent, and measures for how long clients read nothing."""

    frames: int = 0
    ticks: int = 0
    repeats: int = 0  # of `ticks`, those sent before
    malformed: int = 0
    bytes_sent: int = 0
    stalls: int = 0
    _longest_seconds: float = 0.0
    _ended_seconds: float = 0.0
    _since: dict[int, float] = field(default_factory=dict)

    def begin_stall(self, connection: int) -> None:
        """Note that the client of `connection` stopped reading."""
        self._since[connection] = time.monotonic()
        self.stalls += 1

    def end_stall(self, connection: int) -> None:
        """Note that the client of `connection` reads again, or is gone."""
        since = self._since.pop(connection, None)
        if since is not None:
            lasted = time.monotonic() - since
            self._ended_seconds += lasted
            self._longest_seconds = max(self._longest_seconds, lasted)

    @property
    def max_stall_seconds(self) -> float:
        """The longest stall, including one that still lasts."""
        return max([self._longest_seconds, *self._lasting()])

    @property
    def total_stall_seconds(self) -> float:
        """The sum of all stalls of all connections."""
        return self._ended_seconds + sum(self._lasting())

    def _lasting(self) -> list[float]:
        now = time.monotonic()
        return [now - since for since in self._since.values()]
