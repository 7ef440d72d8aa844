"""What delivery knows about one bond."""

from dataclasses import dataclass

from connector.shell.delivery.lane import Lane


@dataclass(slots=True)
class Bond:
    """A bond that ticked: the key and the lane of its records, and its latest good tick.

    `received_ns` is the tick's receive time, and `raw` its record; before the first tick it is
    empty. All is in one place, because a look-up of one of 1,000 bonds waits for memory.
    """

    key: bytes
    lane: Lane
    is_requested: bool
    received_ns: int = 0
    raw: bytes = b""
