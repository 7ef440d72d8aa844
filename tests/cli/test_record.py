"""Tests of `kis-bond record`."""

import json

import pytest

from connector.core.journal.record import Block
from connector.shell.recordings import frames
from tests.app.test_record import SEALED, received
from tests.core.ticks.test_frame import PAYLOAD, data
from tests.shell.journal.test_inspection import segment


@pytest.fixture
def folder(tmp_path):
    """Return a journal with three plain frames and an encrypted one that no key opens."""
    path = tmp_path / "journal"
    path.mkdir()
    segment(path, 1, Block(1, [*(received(number, data(PAYLOAD)) for number in range(3)), received(3, SEALED)]))
    return path


def test_frames_are_copied_and_what_is_left_out_is_told(cli, folder, tmp_path):
    """The sentences say how many frames are in the file, from when, and what is not."""
    result = cli("record", "--to", str(tmp_path / "day.jsonl.gz"), JOURNAL__PATH=folder)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"Frames in {tmp_path / 'day.jsonl.gz'}: 3.",
        "They were received from 2026-11-20T04:17:43.000Z to 2026-11-20T04:17:45.000Z.",
        "Encrypted frames left out: 1, because the journal has no key of their session (DECRYPT_NO_KEY).",
    ]
    assert len(list(frames(tmp_path / "day.jsonl.gz"))) == 3


def test_the_end_is_a_second_to(cli, folder, tmp_path):
    """A --to with a time is the end, in whichever order both are given."""
    file = str(tmp_path / "part.jsonl.gz")
    end = ("--from", "2026-11-20T13:17:44+09:00", "--to", "2026-11-20T04:17:45Z")
    result = cli("record", *end, "--to", file, "--journal", str(folder), "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {
        "file": file,
        "frames": 1,
        "first_received_ns": 1_795_148_264_000_000_001,
        "last_received_ns": 1_795_148_264_000_000_001,
        "undecryptable": {},
        "cleaned": 0,
        "damaged_bytes": 0,
        "deleted_segments": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--to", "09:00"), "--to is needed once with the file to write"),
        (("--to", "a", "--to", "b"), "--to is needed once with the file to write"),
        (("--to", ""), "--to is needed once with the file to write"),
        (("--to", "a", "--from", "nine"), "'nine' is not a time, such as"),
        (("--to", "a", "--from", "10:00", "--to", "09:00"), "--from 10:00 is not before --to 09:00"),
        (("--to", "a", "--journal", "missing"), "There is no journal in missing"),
    ],
)
def test_a_malformed_request_ends_with_2(cli, tmp_path, monkeypatch, arguments, says):
    """Nothing is written, and the sentence says what to give."""
    monkeypatch.chdir(tmp_path)
    result = cli("record", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_existing_file_ends_with_2(cli, folder):
    """A recording never replaces a file."""
    (folder.parent / "day").write_text("x")
    result = cli("record", "--to", str(folder.parent / "day"), "--journal", str(folder))
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    assert (folder.parent / "day").read_text() == "x"
