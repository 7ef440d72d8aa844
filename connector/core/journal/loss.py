"""Losses of frames, merged until they are reported."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

from connector.core.journal.record import LossReason


@dataclass(frozen=True, slots=True)
class Loss:
    """Frames of one slot that were received but given up.

    The first was received at `from_ns`, the last at `to_ns`.
    """

    slot: int
    reason: LossReason
    frames: int
    bytes: int
    from_ns: int
    to_ns: int


class Losses:
    """Losses not yet reported, one for each slot and reason."""

    def __init__(self, saved: Any = ()) -> None:
        """Begin with what `to_json` returned. Raises TypeError."""
        self.unreported = {(loss.slot, loss.reason): loss for loss in (Loss(*fields) for fields in saved)}

    def add(self, loss: Loss) -> bool:
        """Add a loss; return whether none of its slot and reason waited."""
        before = self.unreported.get((loss.slot, loss.reason))
        self.unreported[loss.slot, loss.reason] = (
            Loss(
                loss.slot,
                loss.reason,
                before.frames + loss.frames,
                before.bytes + loss.bytes,
                before.from_ns,
                loss.to_ns,
            )
            if before
            else loss
        )
        return before is None

    def take(self) -> Iterable[Loss]:
        """Return the losses not yet reported, and count them as reported."""
        taken, self.unreported = self.unreported, {}
        return taken.values()

    def to_json(self) -> list[tuple[int | str, ...]]:
        """Return what the next process needs, as JSON values."""
        return [astuple(loss) for loss in self.unreported.values()]
