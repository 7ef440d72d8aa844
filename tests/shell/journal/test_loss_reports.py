"""Losses are reported merged, soon enough, and once."""

import asyncio
import os
import shutil
from functools import partial
from itertools import pairwise

import pytest
import structlog

from connector.core.journal.record import FORMAT, Block
from connector.core.journal.state import sealed
from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal import Journal, loss_reports
from connector.shell.topics import events
from tests.shell.journal.frames import until


def lose(source, first, last, reason="disk"):
    """Lose frames of these numbers."""
    for number in range(first, last + 1):
        source.give_up(Received(number, number % 2, 7, False, bytes(10)), reason)


async def test_losses_are_reported_when_they_end(opened, monkeypatch):
    """When no more frames are lost, each slot's losses are one report."""
    monkeypatch.setattr(loss_reports, "ROUND_SECONDS", 0.02)
    source = await opened()
    lose(source, 1, 10)
    await until(lambda: opened.losses)
    assert [(loss.slot, loss.frames, loss.bytes) for loss in opened.losses] == [(1, 5, 50), (0, 5, 50)]


async def test_no_finished_frame_is_reported(opened):
    """Of frames that are given up together, those that were delivered from memory are not lost."""
    source = await opened()
    frames = [Received(number, 0, 7, False, bytes(10)) for number in range(1, 7)]
    for frame in frames:
        source.append(frame)
    source.advance(4)
    source.losses.lose(Block(1, frames), "journal_full")
    source.report_losses()
    assert [(loss.frames, loss.from_ns, loss.to_ns) for loss in opened.losses] == [(2, 5, 6)]
    assert source.lost == {"journal_full": 2}


async def test_a_loss_that_goes_on_is_reported_meanwhile(opened, monkeypatch):
    """A loss that goes on is reported before it ends, and nothing twice."""
    monkeypatch.setattr(loss_reports, "ROUND_SECONDS", 0.02)
    monkeypatch.setattr(loss_reports, "LOSING_SECONDS", 0.05)
    source, number = await opened(), 0
    async with asyncio.timeout(30):
        while len(opened.losses) < 3:
            number += 2
            lose(source, number, number)
            await asyncio.sleep(0.001)
    source.report_losses()
    assert sum(loss.frames for loss in opened.losses) == source.lost["disk"]
    assert all(one.to_ns < other.from_ns for one, other in pairwise(opened.losses))


async def test_an_unreported_loss_is_reported_by_the_next_process(opened):
    """Losses unreported at a stop are merged with the next process's and reported once."""
    source = await opened()
    lose(source, 2, 2)
    source = await opened()
    assert opened.losses == []
    lose(source, 4, 4)
    source.report_losses()
    assert [(loss.frames, loss.from_ns, loss.to_ns) for loss in opened.losses] == [(2, 2, 4)]
    await source.save("events", "the report")
    (await opened()).report_losses()
    assert len(opened.losses) == 1


async def test_a_reported_loss_is_kept_until_the_events_are_saved(opened):
    """If the event of a reported loss is not saved by a stop, the next process reports the loss."""
    source = await opened()
    lose(source, 2, 2)
    source.report_losses()
    await source.save("lists", "{}")
    lose(source, 4, 4)
    source = await opened()
    source.report_losses()
    assert [(loss.frames, loss.from_ns, loss.to_ns) for loss in opened.losses] == [(1, 2, 2), (2, 2, 4)]


def test_the_event_topic_saves_its_events_under_the_name_that_is_waited_for():
    """Reported losses are kept until this text is saved, which has the events that tell of them."""
    assert loss_reports.EVENTS == events.SAVED


@pytest.mark.parametrize("step", ["_save_texts", "_sync"], ids=["after progress", "after the write"])
async def test_losses_that_a_kill_left_counted_but_not_saved_are_reported(tmp_path, monkeypatch, step):
    """A kill before `saved.json` has the losses makes the next start report their number, once."""
    before, told = await Journal.open(JournalSettings(path=tmp_path / "journal"), print), []
    lose(before, 2, 2)
    before.report_losses()
    await before.save("events", "[]")
    monkeypatch.setattr(before._syncing, step, partial(asyncio.sleep, 0))
    lose(before, 3, 7)
    await until(lambda: before.memory.is_written)
    if step == "_save_texts":
        await until(lambda: sum(mark.last_seq - mark.first_seq + 1 for mark in before.progress.marks) == 6)
    shutil.copytree(tmp_path / "journal", tmp_path / "killed", ignore=shutil.ignore_patterns("*.new"))
    monkeypatch.undo()
    await before.close()
    for _ in range(2):
        killed = await Journal.open(JournalSettings(path=tmp_path / "killed"), told.append)
        assert killed.lost == {"disk": 6}
        killed.report_losses()
        await killed.save("events", "[]")
        assert [(loss.reason, loss.frames) for loss in told] == [("disk", 5)]
        await killed.close()


async def test_synced_frames_that_a_start_does_not_find_are_reported(opened, tmp_path):
    """Synced frames after the last record that is left are logged as lost, and reported once."""
    source = await opened()
    for number in range(1, 6):
        source.append(Received(number, 0, 7, False, bytes(10)))
    await source.close()
    [path] = (tmp_path / "journal").glob("*.log")
    os.truncate(path, path.stat().st_size - 60)  # the last frame, and part of the one before
    with structlog.testing.capture_logs() as logs:
        source = await opened()
    assert [entry["reason"] for entry in logs if entry["event"] == "frames_lost"] == ["corrupt"]
    assert source.lost == {"corrupt": 2}
    source = await opened()
    source.report_losses()
    assert [(loss.reason, loss.frames) for loss in opened.losses] == [("corrupt", 2)]
    assert source.lost == {"corrupt": 2}


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "no JSON",
        "[1]",
        "{}",
        '[["one"]]',
        "[[1, 2, 3, 4, 5, 6, 7]]",
        "1",
        "null",
        "[" * 100_000,
        "9" * 5000,
        '[[0, "disk", "two", 5, 6, 7]]',
        '[["0", "disk", [1], 5, 6, 7]]',
        '[[0, ["disk"], 1, 5, 6, 7]]',
        '[[0, "disk", 1, 5, 6, 1e400]]',
        '[[0, "lightning", 1, 5, 6, 7]]',
        '[[0, "disk", -1, 5, 6, 7]]',
        '{"disk": "x"}',
        '{"disk": [1]}',
        '{"disk": -5}',
        '{"disk": null}',
    ],
    ids=lambda kept: kept[:40],
)
async def test_unreadable_saved_losses_do_not_stop_a_start(opened, tmp_path, kept):
    """The journal opens, and counts the frames, if the saved losses are unreadable."""
    await (await opened()).close()
    content = sealed({"format": FORMAT, "texts": {loss_reports.SAVED: kept, loss_reports.COUNTED: kept}})
    (tmp_path / "journal" / "saved.json").write_bytes(content)
    source = await opened()
    source.report_losses()
    assert opened.losses == []


@pytest.mark.parametrize(
    "kept", ["", "[]", "null", '{"lightning": 1}', '{"disk": -1}', "[" * 100_000], ids=lambda kept: kept[:20]
)
async def test_unreadable_counts_of_losses_are_told(opened, tmp_path, kept):
    """Then nothing can say which losses were not saved."""
    await (await opened()).close()
    content = sealed({"format": FORMAT, "texts": {loss_reports.SAVED: "[]", loss_reports.COUNTED: kept}})
    (tmp_path / "journal" / "saved.json").write_bytes(content)
    with structlog.testing.capture_logs() as logs:
        source = await opened()
    assert [(entry["event"], entry["kept"]) for entry in logs] == [("kept_losses_unreadable", kept)]
    source.report_losses()
    assert opened.losses == []
