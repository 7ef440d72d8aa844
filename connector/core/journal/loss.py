"""Losses of frames, as they are reported."""

from dataclasses import dataclass

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

    def __add__(self, later: "Loss") -> "Loss":
        """Return this loss and a later one of the same slot and reason as one."""
        frames, size = self.frames + later.frames, self.bytes + later.bytes
        return Loss(self.slot, self.reason, frames, size, self.from_ns, later.to_ns)
