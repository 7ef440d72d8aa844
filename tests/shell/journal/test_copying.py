"""Frames are copied out of a journal once each, while a connector holds it too."""

import errno
import os

import pytest

from connector.core.cipher_key import CipherKey
from connector.core.journal.record import Key, Mark
from connector.errors import JournalUnusable, RequestMalformed
from connector.settings import JournalSettings
from connector.shell.journal import Journal
from connector.shell.journal.copying import Copying
from tests.shell.journal.test_inspection import frames, segment

KEY = CipherKey("k" * 32, "i" * 16)


def numbers(copying):
    """Return the numbers in the frames' text."""
    return [int(frame.raw.split()[1]) for frame in copying.frames()]


def test_every_frame_is_read_once_and_in_order(tmp_path):
    """Frames that a later segment holds again are read there."""
    segment(tmp_path, 1, frames(1, 6))
    segment(tmp_path, 5, Mark(1, 4, None), frames(5, 9))
    copying = Copying(tmp_path)
    assert numbers(copying) == list(range(1, 10))
    assert copying.bytes_read == copying.bytes > 0


def test_a_torn_end_and_damage_are_skipped(tmp_path):
    """A record that is half written ends the segment, and damaged bytes are counted."""
    path = segment(tmp_path, 1, frames(1, 6))
    segment(tmp_path, 7, frames(7, 8), torn=b"\xffREC\x10")
    path.write_bytes(path.read_bytes().replace(b"frame 3", b"frame X"))
    copying = Copying(tmp_path)
    assert numbers(copying) == [1, 2, 4, 5, 6, 7, 8]
    assert copying.skipped_bytes > 0


def test_a_segment_that_does_not_open_hides_no_other(tmp_path, monkeypatch):
    """All its bytes are skipped, as those of a folder or a pipe in its place are."""
    broken = segment(tmp_path, 1, frames(1, 2))
    segment(tmp_path, 3, frames(3, 4))
    os.mkfifo(tmp_path / "00000000000000000005.log")
    (tmp_path / "00000000000000000007.log").mkdir()
    real = os.open

    def refuse(path, *flags):
        if path == broken:
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *flags)

    monkeypatch.setattr(os, "open", refuse)
    copying = Copying(tmp_path)
    assert numbers(copying) == [3, 4]
    assert copying.skipped_bytes >= broken.stat().st_size


def test_keys_of_all_segments_are_found(tmp_path):
    """A key may be stored after the frames that need it."""
    segment(tmp_path, 1, frames(1, 2))
    segment(tmp_path, 3, frames(3, 4), Key(4, 2, 9, KEY))
    assert [(each.slot, each.session, each.key) for each in Copying(tmp_path).cipher_keys()] == [(2, 9, KEY)]


def test_a_segment_that_is_deleted_meanwhile_is_counted(tmp_path):
    """The connector may delete what it has delivered at any moment."""
    path = segment(tmp_path, 1, frames(1, 2))
    segment(tmp_path, 3, frames(3, 4))
    copying = Copying(tmp_path)
    path.unlink()
    assert numbers(copying) == [3, 4]
    assert copying.deleted == 1


def test_a_folder_without_a_journal_is_named(tmp_path):
    """A missing folder and a file are malformed requests; a newer journal is not usable."""
    with pytest.raises(RequestMalformed, match="There is no journal in"):
        Copying(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestMalformed, match="is not a folder"):
        Copying(tmp_path / "file")


def test_a_newer_journal_is_not_read(tmp_path, monkeypatch):
    """Segments of a later format end the reading."""
    segment(tmp_path, 1, frames(1, 2))
    monkeypatch.setattr("connector.shell.journal.recovery.FORMAT", 0)
    with pytest.raises(JournalUnusable, match="newer version"):
        numbers(Copying(tmp_path))


async def test_a_held_journal_can_be_copied(tmp_path):
    """The lock of a running connector is not needed, and its journal not changed."""
    settings = JournalSettings(path=tmp_path / "journal")
    journal = await Journal.open(settings, print)
    try:
        for frame in frames(1, 5).frames:
            journal.append(frame)
        await journal.read(0, 5)
        before = sorted(settings.path.iterdir())
        assert numbers(Copying(settings.path)) == [1, 2, 3, 4, 5]
        assert sorted(settings.path.iterdir()) == before
    finally:
        await journal.close()
