"""A run of frames has the records, and gives the ticks, that its frames have one by one."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.core.ticks.avro import Tick, TickEncoder, TickSchema
from connector.core.ticks.frame import BadFrame, Received, split
from connector.core.ticks.run import split_run
from connector.packaged_files import bond_tick

SAMPLE = (Path(__file__).parents[2] / "data/portal/h0bjcnt0-frame.txt").read_text(encoding="utf-8").split("|", 3)[3]
SCHEMA = TickSchema(bond_tick())
BEGINS = TickEncoder(SCHEMA, b"").begins
RECEIVED_MS = 1_795_148_264_123  # 2026-11-20 13:17:44.123 in Seoul

odd_texts = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "1.5",
        "x",
        "1" * 19,
        "KR103502GD31",
        "0|H0BJCNT0|001|KR103502GD31",
        "235959",
        "국",
        "|",
        "\n",
        "１",
    ]
)
odd_bytes = st.sampled_from([b"\xff", b"\xb1\xb9", b"^", b"|", b"\n", b"", b"0|H0BJCNT0|001|", b"002", b"1"])


def received(raw, ms=RECEIVED_MS, *, binary=False):
    """Return a frame received at `ms`."""
    return Received(ms * 1_000_000, 0, 1, binary, raw)


def frame_of(*records, ms=RECEIVED_MS):
    """Return a plain frame of these texts."""
    return received(f"0|H0BJCNT0|{len(records):03d}|{'^'.join(records)}".encode(), ms)


@st.composite
def texts(draw, width=19):
    """Return a record, of which any column may be odd."""
    columns = [*SAMPLE.split("^"), *[draw(st.sampled_from(["", "7", "x"])) for _ in range(width - 19)]]
    for place in draw(st.lists(st.integers(0, width - 1), max_size=2)):
        columns[place] = draw(odd_texts)
    columns[0] = draw(st.sampled_from(["KR103502GD31", "KR103502GA34", columns[0]]))
    return "^".join(columns)


@st.composite
def frames(draw):
    """Return a frame that is good, or that has odd columns, odd bytes, or another count or kind."""
    width = draw(st.sampled_from([19, 19, 19, 20, 37, 18, 38]))
    records = draw(st.lists(texts(width), min_size=1, max_size=3))
    ms = RECEIVED_MS + draw(st.sampled_from([0, 0, 1, -1, 40_000_000]))
    whole = frame_of(*records, ms=ms)
    raw = whole.raw
    if draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(odd_bytes) + raw[at + draw(st.integers(0, 3)) :]
    return received(raw, ms, binary=draw(st.integers(0, 20)) == 0)


def one_by_one(run_frames):
    """Return each frame's records, or None if a frame has none."""
    found = [split(frame, ()) for frame in run_frames]
    return None if any(isinstance(each, BadFrame) for each in found) else found


def ticks_of(run_frames, encoder):
    """Return the ticks of a run, or None if the frames have to be read one by one."""
    run = split_run(run_frames, encoder.begins)
    if run is None:
        return None
    ticks = encoder.encode_run(run, run.for_each_record([frame.received_ns // 1_000_000 for frame in run_frames]))
    return None if ticks is None else [Tick(*tick) for tick in zip(*ticks, strict=True)]


HEADER_ALONE = received(b"0|H0BJCNT0|001|KR103502GD31")
REST_OF_A_RECORD = received(b"0|H0BJCNT0|001|" + SAMPLE.encode().partition(b"^")[2])
TWO_IN_ONE = received(b"0|H0BJCNT0|001|" + f"{SAMPLE}^0|H0BJCNT0|001|{SAMPLE}".encode())


@given(run_frames=st.lists(frames(), max_size=4))
@example([frame_of(f"{SAMPLE}^x", f"{SAMPLE}^")])
@example([TWO_IN_ONE, HEADER_ALONE, REST_OF_A_RECORD])
@example([frame_of(SAMPLE), frame_of(SAMPLE, ms=RECEIVED_MS + 86_400_000)])
@example([frame_of(SAMPLE), frame_of(SAMPLE.replace("131743", "141844"), ms=RECEIVED_MS + 60_000)])
def test_a_run_has_the_records_and_ticks_of_its_frames(run_frames):
    """If frames are a run, it has each frame's records and ticks; a bad tick is never in one."""
    run = split_run(run_frames, BEGINS)
    if run is None:
        return
    found = one_by_one(run_frames)
    assert [len(records) for records in found] == list(run.counts)
    records = [record for each in found for record in each]
    assert {len(record.columns) for record in records} <= {run.width}
    for begin, end in pairwise([*run.texts, run.width]):
        assert ["^".join(record.columns[begin:end]) for record in records] == list(run.texts[begin])
    assert [record.raw for record in records] == list(run.raws)
    ticks = ticks_of(run_frames, TickEncoder(SCHEMA, b"prefix", "replay"))
    if ticks is not None:
        one = TickEncoder(SCHEMA, b"prefix", "replay")
        assert ticks == [
            one.encode(record, one.origin(frame.received_ns // 1_000_000))
            for frame, each in zip(run_frames, found, strict=True)
            for record in each
        ]


@given(data=st.data(), width=st.integers(19, 37), sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_good_frames_of_one_width_are_a_run(data, width, sizes):
    """Good frames of 19 to 37 columns, with any number of records each, are read as a run."""
    added = [data.draw(st.sampled_from(["", "7"])) for _ in range(width - 19)]
    record = "^".join([SAMPLE, *added[:-1], *(["x"] if added else [])])
    run_frames = [frame_of(*[record] * size) for size in sizes]
    ticks = ticks_of(run_frames, TickEncoder(SCHEMA, b""))
    assert len(ticks) == sum(sizes)


@pytest.mark.parametrize(
    "bad",
    [
        received(b""),
        received(b"0|H0BJCNT0|000|" + SAMPLE.encode()),
        received(b"1|H0BJCNT0|001|" + SAMPLE.encode()),
        received(b"0|H0BJCNT0|001|" + SAMPLE.encode(), binary=True),
        received(b"0|H0BJCNT0|002|" + SAMPLE.encode()),
        received(b"0|H0BJCNT0|001|" + SAMPLE.encode() + b"^"),
        received(b"0|H0BJCNT0|001|" + SAMPLE.encode("cp949")),
        received(b"0|H0BJCNT0|001|" + f"{SAMPLE}^x^".encode()),
        received(b'{"header":{}}'),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_another_frame_ends_a_run(bad, place):
    """Frames among which one is encrypted, binary, malformed or of another width are no run."""
    good = [frame_of(SAMPLE)]
    assert split_run(good, BEGINS) is not None
    assert split_run([*good[place:], bad, *good[:place]], BEGINS) is None


def test_a_run_over_midnight_is_read_record_by_record():
    """Records of two dates are not encoded as one run, and one record has its own date."""
    night = SAMPLE.replace("131743", "235959"), SAMPLE.replace("131743", "000001")
    midnight = 1_795_186_800_000
    run_frames = [frame_of(night[0], ms=midnight + 500), frame_of(night[1], ms=midnight + 1500)]
    encoder = TickEncoder(SCHEMA, b"")
    assert ticks_of(run_frames, encoder) is None
    assert all(ticks_of([frame], encoder) for frame in run_frames)
