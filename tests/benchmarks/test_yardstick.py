"""The yardstick does the connector's work."""

import pytest

from benchmarks import yardstick
from benchmarks.encoders import ENCODERS
from benchmarks.instructions import received_frames


@pytest.mark.parametrize("per_frame", [1, 19])
def test_same_bytes(per_frame):
    """It makes the same bytes of the same frames, also where a run ends within them.

    If the schema changed: change the yardstick, and record the guard's figures again.
    """
    frames = received_frames(per_frame * (yardstick.FRAMES_A_RUN + 10), per_frame)
    values = ENCODERS["yardstick"]()(frames)
    assert values == ENCODERS["connector"]()(frames)
    assert len(values) == per_frame * len(frames)


def test_frames_that_are_not_plain():
    """Frames that the yardstick cannot split are refused, because it checks nothing else."""
    frames = received_frames(2, 1)
    wider = frames[1]._replace(raw=frames[1].raw + b"^more")
    with pytest.raises(ValueError, match="not plain"):
        ENCODERS["yardstick"]()([frames[0], wider])
