"""Split and encode, the connector's way and the straightforward way, without sockets and Kafka."""

from collections.abc import Callable, Sequence

from benchmarks import plain_tick, straightforward
from connector.core.ticks.avro import Tick, TickEncoder, TickSchema
from connector.core.ticks.frame import BadFrame, Received, split
from connector.packaged_files import bond_tick

Encoder = Callable[[Sequence[Received]], list[bytes]]  # the Avro values of the ticks of good frames


def connector_encoder() -> Encoder:
    """Return what the connector's delivery does with its frames, up to the values."""
    schema = TickSchema(bond_tick())
    encoder = TickEncoder(schema, schema.single_object_prefix)

    def encode(frames: Sequence[Received]) -> list[bytes]:
        values = []
        for frame in frames:
            records = split(frame, ())
            if isinstance(records, BadFrame):
                raise TypeError(records.detail)
            origin = encoder.origin(frame.received_ns // 1_000_000)
            for record in records:
                tick = encoder.encode(record, origin)
                if not isinstance(tick, Tick):
                    raise TypeError(tick.detail)
                values.append(tick.value)
        return values

    return encode


def straightforward_encoder() -> Encoder:
    """Return what the straightforward pipeline does with its frames, one after another."""

    def encode(frames: Sequence[Received]) -> list[bytes]:
        values = []
        for frame in frames:
            received = plain_tick.received_at(frame.received_ns)
            for columns in plain_tick.split(frame.raw.decode()):
                values.append(straightforward.encode(columns, received))  # noqa: PERF401 - timed as it is written there
        return values

    return encode


ENCODERS = {"connector": connector_encoder, "straightforward": straightforward_encoder}
