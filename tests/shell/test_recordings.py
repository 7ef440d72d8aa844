"""Recordings are written whole or not at all, and a stranger's file is refused with a sentence."""

import gzip
import os

import pytest

from connector.core.ticks.frame import Received
from connector.core.ticks.recording import FIRST_LINE, MOST_LINE_BYTES, to_line
from connector.errors import NotInTime, RequestMalformed
from connector.shell import recordings
from connector.shell.recordings import frames, writing

NS = 1_795_148_263_000_000_001
FRAMES = [Received(NS + number, number % 3, 0, False, b"0|H0BJCNT0|001|%d" % number) for number in range(5000)]


@pytest.fixture
def path(tmp_path):
    """Return where a recording may be."""
    return tmp_path / "day.jsonl.gz"


def test_frames_come_back_in_order(path):
    """What was written is read, and only the owner may read it."""
    with writing(path) as add:
        for frame in FRAMES:
            add(frame)
    assert list(frames(path)) == FRAMES
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_an_existing_file_is_never_replaced(path):
    """A file, and a link to nowhere, are refused before anything is written."""
    path.symlink_to("nowhere")
    with pytest.raises(RequestMalformed, match="exists already"), writing(path):
        raise AssertionError
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(path):
    """A file in a folder that does not exist cannot be created."""
    with pytest.raises(RequestMalformed, match="could not be created: No such file"), writing(path / "x"):
        raise AssertionError


def interrupted(path):
    """Write one frame, and end as Ctrl-C does."""
    with writing(path) as add:
        add(FRAMES[0])
        raise KeyboardInterrupt


def test_what_is_interrupted_leaves_no_file(path):
    """If the frames end with an error, there is neither a file nor a part of one."""
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert not list(path.parent.iterdir())


def test_a_full_disk_leaves_no_file(path, monkeypatch):
    """An error of the disk is a sentence, and the part is removed."""

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recordings.os, "fsync", full)
    with pytest.raises(NotInTime, match="could not be written: No space"), writing(path) as add:
        add(FRAMES[0])
    assert not list(path.parent.iterdir())


def whole():
    """Return a small sound recording."""
    return gzip.compress(FIRST_LINE + b"".join(map(to_line, FRAMES[:3])))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (gzip.compress(b""), "is empty"),
        (b"no gzip at all", "is no gzip file"),
        (whole()[:-12], "cut off"),
        (whole()[:10] + b"\xff" + whole()[11:], "is no gzip file, or is damaged"),
        (whole()[:-8] + b"\0\0\0\0" + whole()[-4:], "is no gzip file, or is damaged: CRC"),
        (whole() + b"garbage", "is no gzip file"),
        (gzip.compress(b'{"kis_bond_recording": 2}\n'), "line 1: has version 2"),
        (gzip.compress(b'{"a": 1}\n'), "line 1: does not begin"),
        (gzip.compress(FIRST_LINE + to_line(FRAMES[0])[:-1]), "line 2: has no end, so the file was cut off"),
        (gzip.compress(FIRST_LINE + to_line(FRAMES[0]) + b"{}\n"), "line 3: received_ns"),
        (gzip.compress(FIRST_LINE + b" " * (MOST_LINE_BYTES + 1)), "line 2: has more than"),
    ],
)
def test_a_file_that_is_no_recording_says_where_it_is_bad(path, content, says):
    """A damaged, cut, foreign or endless file is a malformed request that names the place."""
    path.write_bytes(content)
    with pytest.raises(RequestMalformed, match=says):
        list(frames(path))


def test_a_line_without_end_is_not_read_whole(path):
    """A small file that unpacks to a line of a gibibyte is refused with little memory."""
    with gzip.open(path, "wb", 9) as file:
        file.write(FIRST_LINE)
        for _ in range(64):
            file.write(b" " * 2**20)
    with pytest.raises(RequestMalformed, match="line 2: has more than"):
        list(frames(path))


def test_what_is_no_file_is_refused_at_once(path):
    """A named pipe, a folder and a missing file are refused without waiting."""
    os.mkfifo(path)
    with pytest.raises(RequestMalformed, match="not a regular file"):
        list(frames(path))
    with pytest.raises(RequestMalformed, match="could not be read: Is a directory"):
        list(frames(path.parent))
    with pytest.raises(RequestMalformed, match="could not be read: No such file"):
        list(frames(path.parent / "missing"))
