"""Tests of `kis-bond journal`."""

import json
import os
import subprocess
import sys

import pytest

from connector.settings import JournalSettings
from connector.shell.journal import Journal
from tests.shell.journal.test_inspection import frames, progress, segment


@pytest.fixture
def folder(tmp_path):
    """Return a journal of two segments with frames 1 to 10, of which 4 are finished."""
    path = tmp_path / "journal"
    path.mkdir()
    segment(path, 1, frames(1, 6))
    segment(path, 7, frames(7, 10))
    progress(path, 4, 10)
    return path


def spoil(folder):
    """Damage the record of frame 8."""
    path = folder / "00000000000000000007.log"
    path.write_bytes(path.read_bytes().replace(b"frame 8", b"frame X"))


def test_inspect_shows_segments_and_sums(cli, folder):
    """A row for each segment, then the sums."""
    result = cli("journal", "inspect", JOURNAL__PATH=str(folder))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[1].split()[:3] == ["00000000000000000001.log", "1", "6"]
    assert lines[-1].endswith("bytes in all. Watermark 4, pending 6, corrupt 0.")


def test_inspect_as_json(cli, folder):
    """The JSON has exactly the fields of the contract."""
    spoil(folder)
    result = cli("journal", "inspect", "--json", "--journal", str(folder))
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert found == {
        "segments": [
            {"file": f"{first:020d}.log", "first": first, "last": last, "bytes": found_bytes, "damaged": damaged}
            for first, last, damaged, found_bytes in (
                (1, 6, False, (folder / f"{1:020d}.log").stat().st_size),
                (7, 10, True, (folder / f"{7:020d}.log").stat().st_size),
            )
        ],
        "pending": 5,
        "watermark": 4,
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "corrupt": 1,
    }


def test_verify_of_a_sound_journal(cli, folder):
    """A sound journal is a sentence and 0."""
    result = cli("journal", "verify", "--journal", str(folder))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "is sound: 2 segments, 6 frames pending." in result.stdout


def test_verify_of_a_damaged_journal(cli, folder):
    """Damage ends with 4, with the segment and the missing numbers."""
    spoil(folder)
    result = cli("journal", "verify", JOURNAL__PATH=str(folder))
    assert (result.exit_code, result.stdout) == (4, "")
    assert "00000000000000000007.log is damaged" in result.stderr
    assert "lacks frame 8, which was not delivered." in result.stderr


async def test_beside_a_running_journal(cli, tmp_path):
    """A held journal is read without its lock, and stays held."""
    journal = await Journal.open(JournalSettings(path=tmp_path / "journal"), lambda _: None)
    try:
        result = cli("journal", "verify", "--json", "--journal", str(tmp_path / "journal"))
        assert (result.exit_code, json.loads(result.stdout)["pending"]) == (0, 0)
    finally:
        await journal.close()


def test_no_journal(cli, tmp_path):
    """A missing folder ends with 2, and is not created."""
    result = cli("journal", "inspect", "--journal", str(tmp_path / "none"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "There is no journal in" in result.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_help_fits_a_terminal(command):
    """The help has an example, and no line is wider than 80 columns."""
    line = [sys.executable, "-m", "connector", "journal", command, "--help"]
    environment = os.environ | {"COLUMNS": "80"}
    shown = subprocess.run(line, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"kis-bond journal {command}" in shown
    assert max(map(len, shown.splitlines())) <= 80
