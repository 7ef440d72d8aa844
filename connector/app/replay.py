"""Sends frames that were received before through decoding and delivery, and then ends."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from connector.core.ticks.avro import TickSchema, registry_prefix
from connector.errors import NotInTime
from connector.packaged_files import bond_tick
from connector.shell import registry
from connector.shell.delivery import Delivery, Kafka
from connector.shell.delivery.frame_stream import FrameStream
from connector.shell.kafka import clients
from connector.shell.kafka.admin import TopicAdmin
from connector.shell.kafka.arguments import client_arguments
from connector.shell.kafka.closing import abandon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from connector.core.ticks.frame import Received
    from connector.settings import Settings
    from connector.shell.delivery.counts import Counts

FRAMES_A_BATCH: Final = 256
POLL_SECONDS: Final = 0.2
# Without an acknowledgement for so long, a person learns why and decides.
START_PATIENCE_SECONDS: Final = 12.0
PATIENCE_SECONDS: Final = 60.0


async def replay(
    settings: Settings,
    topics: tuple[str, str | None],
    frames: AsyncIterator[Sequence[Received]],
    on_progress: Callable[[int], None],
) -> Counts:
    """Deliver the frames to a topic with `source = replay`, and return what became of them.

    `topics` are the topic of the ticks and that of the dead letters; without the latter, dead
    letters are only counted. `on_progress` gets the number of finished frames. Raises NotInTime if
    Kafka or the registry cannot be used.
    """
    names = [name for name in topics if name is not None]
    await _require_topics(settings, names)
    schema = TickSchema(bond_tick())
    prefix = await _prefix(settings, schema)

    async def framing() -> bytes:
        return prefix

    client_id = settings.kafka_client_id
    leaders = partial(clients.leaders, settings.kafka, client_id, names)
    make_producer = partial(clients.make_producer, settings.kafka, client_id)
    stream = FrameStream()
    delivery = Delivery(
        stream, schema, Kafka(*topics, leaders, make_producer, clients.start, abandon), framing, "replay"
    )
    tasks = [
        asyncio.create_task(delivery.run(), name="delivery"),
        asyncio.create_task(_feed(stream, delivery, frames), name="feed"),
    ]
    try:
        await _until_fed(tasks[1], stream, delivery, on_progress)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return delivery.counts


async def paced(frames: Iterable[Received], speed: float) -> AsyncIterator[Sequence[Received]]:
    """Yield frames when they are due, together where several are.

    The first is due at once, and each other one as long after it as it was received, divided by
    `speed`. A frame that was received before an earlier one, because a clock was set back, is due
    with it.
    """
    loop = asyncio.get_running_loop()
    started, first_ns, latest_ns = loop.time(), None, 0
    batch: list[Received] = []
    for frame in frames:
        latest_ns = max(latest_ns, frame.received_ns)
        first_ns = latest_ns if first_ns is None else first_ns
        due = started + (latest_ns - first_ns) / 1e9 / speed
        if batch and (len(batch) >= FRAMES_A_BATCH or due > loop.time()):
            yield batch
            batch = []
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        batch.append(frame)
    if batch:
        yield batch


async def _feed(stream: FrameStream, delivery: Delivery, frames: AsyncIterator[Sequence[Received]]) -> None:
    async for batch in frames:
        await stream.add(batch)
    await delivery.drained(stream.last_seq)


async def _until_fed(
    feeding: asyncio.Task[None], stream: FrameStream, delivery: Delivery, on_progress: Callable[[int], None]
) -> None:
    """Wait for the end. Raises NotInTime if Kafka acknowledges nothing for too long."""
    loop = asyncio.get_running_loop()
    moved_at, watermark = loop.time(), 0
    while not feeding.done():
        await asyncio.wait([feeding], timeout=POLL_SECONDS)
        on_progress(stream.watermark)
        if stream.watermark != watermark or stream.watermark == stream.last_seq:
            moved_at, watermark = loop.time(), stream.watermark
        patience = PATIENCE_SECONDS if watermark else START_PATIENCE_SECONDS
        if loop.time() - moved_at > patience:
            raise NotInTime(
                f"Kafka acknowledged nothing for {patience:g} s: {delivery.waiting_for or 'no answer'}. "
                f"The first {stream.watermark:,} frames are done, and those after them may be."
            )
    feeding.result()


async def _require_topics(settings: Settings, topics: Sequence[str]) -> None:
    async with TopicAdmin.connect(client_arguments(settings.kafka, settings.kafka_client_id)) as admin:
        found = await admin.find(topics)
    if missing := [name for name in topics if name not in found]:
        raise NotInTime(
            f"Kafka shows this user no topic {' and no topic '.join(missing)}. "
            "Create what is missing, or grant Describe."
        )


async def _prefix(settings: Settings, schema: TickSchema) -> bytes:
    if settings.registry.url is None:
        return schema.single_object_prefix
    # A schema has one id in a registry, whichever topic its ticks are in.
    subject = f"{settings.topics.ticks}-value"
    looking_only = settings.registry.model_copy(update={"auto_register": False})
    return registry_prefix(await registry.schema_id(looking_only, subject, schema.text, _nothing_saved, _save_nothing))


async def _nothing_saved(_: str) -> None:
    return None


async def _save_nothing(name: str, value: str) -> None:
    """Keep no id: only the connector has a journal to keep it in."""
