"""Files are renamed together with their logs, and a kill in between loses none."""

import pytest

from connector.shell.journal import file_names


@pytest.fixture
def path(tmp_path):
    """Return a journal's path."""
    return tmp_path / "journal.db"


def names(path):
    """Return the names of the folder's files."""
    return {entry.name for entry in path.parent.iterdir()}


def write(path, *suffixes):
    """Write files that contain their own names."""
    for suffix in suffixes:
        path.with_name(path.name + suffix).write_text(suffix)


def test_without_a_successor_nothing_changes(path):
    """A journal without a successor keeps its name."""
    write(path, "", "-wal")
    assert file_names.promote_successor(path) == []
    assert names(path) == {"journal.db", "journal.db-wal"}


def test_the_latest_successor_takes_the_place(path):
    """The latest successor gets the journal's name, with its log; the others are set aside."""
    write(path, "", "-wal", ".1", ".2", ".2-wal")
    aside = file_names.promote_successor(path)
    assert (path.read_text(), path.with_name("journal.db-wal").read_text()) == (".2", ".2-wal")
    assert [each.read_text() for each in aside] == ["", ".1"]
    assert all(each.name.startswith("journal.db.corrupt-") for each in aside)
    assert len(names(path)) == 5


def test_a_kill_between_log_and_database_is_made_good(path):
    """After a kill between two renames, the next start brings log and database together."""
    write(path, "-wal", ".1")
    file_names.promote_successor(path)
    assert names(path) == {"journal.db", "journal.db-wal"}
    assert path.read_text() == ".1"


def test_successors_are_numbered(path):
    """Each successor gets a new number."""
    assert file_names.successor(path).name == "journal.db.1"
    write(path, ".9", ".partial", ".corrupt-7")
    assert file_names.successor(path).name == "journal.db.10"


def test_a_file_left_half_made_is_removed(path):
    """Files that an earlier try left unfinished are removed."""
    write(path, ".partial", ".partial-wal")
    assert file_names.partial(path).name == "journal.db.partial"
    assert names(path) == set()


def test_a_new_file_is_private_and_no_other_is_touched(path):
    """A new file has mode 0600, and never replaces an existing one."""
    file_names.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        file_names.create(path)
