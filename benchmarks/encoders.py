"""Split and encode, the connector's way and the straightforward way, without sockets and Kafka."""

from collections.abc import Callable, Sequence

from benchmarks import plain_tick, straightforward, yardstick
from connector.core.ticks.avro import TickEncoder, TickSchema
from connector.core.ticks.frame import Received
from connector.core.ticks.run import split_run
from connector.packaged_files import bond_tick
from connector.shell.delivery.reading import FRAMES_A_TURN

Encoder = Callable[[Sequence[Received]], list[bytes]]  # the Avro values of the ticks of good frames


def connector_encoder() -> Encoder:
    """Return what the connector's delivery does with its frames, up to the values."""
    schema = TickSchema(bond_tick())
    encoder = TickEncoder(schema, schema.single_object_prefix)

    def encode(frames: Sequence[Received]) -> list[bytes]:
        values: list[bytes] = []
        for start in range(0, len(frames), FRAMES_A_TURN):
            taken = frames[start : start + FRAMES_A_TURN]
            run = split_run(taken, encoder.begins)
            if run is None:
                raise TypeError("the frames are no run")
            received_ms = run.for_each_record([frame.received_ns // 1_000_000 for frame in taken])
            ticks = encoder.encode_run(run, received_ms)
            if ticks is None:
                raise TypeError("the run has a record that is no tick")
            values += ticks.values
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


def yardstick_encoder() -> Encoder:
    """Return the yardstick, which makes the connector's bytes."""
    return yardstick.encoder(TickSchema(bond_tick()).single_object_prefix)


ENCODERS = {"connector": connector_encoder, "straightforward": straightforward_encoder, "yardstick": yardstick_encoder}
