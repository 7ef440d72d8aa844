"""Notes when a broker last answered any Kafka client of this process.

Importing the module makes aiokafka's connections note it; it is written for the pinned version.
"""

import asyncio
import time
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection

_handle_frame: Final[Any] = AIOKafkaConnection._handle_frame  # noqa: SLF001 - no public way


class _LastAnswer:
    """`at` is when the last answer came (monotonic seconds); before the first, when we began."""

    def __init__(self) -> None:
        self.at = time.monotonic()


# The whole process shares it: Kafka is away only if no broker answers any of our clients.
_last: Final = _LastAnswer()


def _handle_frame_and_note(connection: Any, frame: Any) -> None:
    _handle_frame(connection, frame)
    _last.at = time.monotonic()


async def silence(seconds: float) -> None:
    """Return once no broker has answered for so many seconds.

    Only for a process that always has a question open, such as the fetch of a topic that it
    follows.
    """
    while (left := _last.at + seconds - time.monotonic()) > 0:  # noqa: ASYNC110 - each answer moves the end
        await asyncio.sleep(left)


AIOKafkaConnection._handle_frame = _handle_frame_and_note  # type: ignore[method-assign]  # noqa: SLF001 - no public way
