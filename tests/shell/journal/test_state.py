"""The figures of a journal say what became of its frames, and what the folder holds."""

from tests.shell.journal.frames import assert_law, frames, until


async def test_each_frame_is_counted_once(opened):
    """Frames are finished, pending or lost; finished ones are kept in the log."""
    source = await opened()
    for frame in frames(1, 10):
        source.append(frame)
    source.give_up(frames(11, 11)[0], "disk")
    source.advance(4)
    assert (source.received, source.finished, source.pending, source.lost) == (11, 4, 6, {"disk": 1})
    assert_law(source)
    await until(lambda: source.synced_seq == 11)
    assert (source.watermark, source.committed_seq, source.last_seq) == (4, 11, 11)
    assert source.kept == 11


async def test_a_new_journal_has_nothing(opened, tmp_path):
    """Before the first frame all counts are zero, and the room of the small files is counted."""
    source = await opened()
    assert (source.received, source.kept, source.pending, source.lost, source.segments_retired) == (0, 0, 0, {}, 0)
    assert source.write_error is None
    empty = source.used_bytes
    assert empty >= sum(each.stat().st_size for each in (tmp_path / "journal").iterdir())
    source.append(frames(1, 1)[0])
    await until(lambda: source.synced_seq == 1)
    assert source.used_bytes > empty
