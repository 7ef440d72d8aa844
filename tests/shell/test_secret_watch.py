"""An unreadable secret file is reported before it is needed."""

import asyncio
import contextlib
import os

import pytest
from structlog.testing import capture_logs

from connector.shell.secret_watch import SecretWatch, look_at


@contextlib.asynccontextmanager
async def watching(*paths):
    """Give a running watch over files, and a function that waits for a problem to come or go."""
    watch = SecretWatch(lambda: look_at(paths), 0.005)
    task = asyncio.create_task(watch.run())

    async def until(is_unreadable):
        async with asyncio.timeout(30):
            while paths[0] not in watch.problems or bool(watch.problems[paths[0]]) != is_unreadable:
                await asyncio.sleep(0.005)

    try:
        yield watch, until
    finally:
        task.cancel()


async def test_a_file_that_vanishes_is_reported_once_and_again_when_it_is_back(tmp_path):
    """One error names the lost file, and one warning says that it is readable again."""
    file = tmp_path / "password"
    file.write_text("canary")
    with capture_logs() as logs:
        async with watching(file) as (watch, until):
            await until(is_unreadable=False)
            file.unlink()
            await until(is_unreadable=True)
            assert str(file) in watch.problems[file]
            before = watch.problems
            async with asyncio.timeout(30):
                while watch.problems is before:
                    await asyncio.sleep(0.005)
            file.write_text("canary again")
            await until(is_unreadable=False)
    assert [(line["event"], line["file"], line["log_level"]) for line in logs] == [
        ("secret_unreadable", str(file), "error"),
        ("secret_readable_again", str(file), "warning"),
    ]
    assert "canary" not in str(logs)


async def test_the_last_change_of_a_file_outlives_it(tmp_path):
    """The time a file was last written stays known after it vanishes."""
    file = tmp_path / "password"
    file.write_text("x")
    os.utime(file, (1_000, 2_000))
    async with watching(file) as (watch, until):
        await until(is_unreadable=False)
        file.unlink()
        await until(is_unreadable=True)
        assert watch.changed_at == {file: 2_000}


def test_an_empty_file_is_a_problem(tmp_path):
    """A file of blanks is a problem; an unset path is skipped."""
    (tmp_path / "blank").write_text(" \n")
    (tmp_path / "good").write_text("x")
    found = look_at([tmp_path / "blank", None, tmp_path / "good", tmp_path / "none"])
    assert [problem and problem.split(": ", 1)[1].split(" (")[0] for problem in found.values()] == [
        "is empty: write the value into it",
        None,
        "could not be read",
    ]


def test_a_secret_of_two_lines_is_a_problem(tmp_path):
    """It would not be used, and what is in it is not shown; a certificate has many lines."""
    (path := tmp_path / "secret").write_text("canary\nof two lines\n")
    assert look_at([path]) == {path: None}
    problem = f"{path}: holds several lines or a control character: write nothing but the secret into it, as one line"
    assert look_at([path], [path]) == {path: problem}
    path.write_text("one line\n")
    assert look_at([], [path, None]) == {path: None}


@pytest.mark.timeout(60)
def test_a_pipe_is_a_problem_and_is_not_waited_for(tmp_path):
    """A secret file that became a pipe does not stop the watch."""
    os.mkfifo(pipe := tmp_path / "pipe")
    assert "is not a regular file" in look_at([pipe])[pipe]
