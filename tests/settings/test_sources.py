"""YAML and environment as trees."""

import pytest

from connector.settings.sources import merge, read_environment, read_file, variable_of

SECTIONS = ("kafka", "http", "log", "kis")


def read(tmp_path, content):
    """Return the tree of a file and its problems without the path."""
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    tree, problems = read_file(path)
    return tree, [problem.removeprefix(f"{path}: ") for problem in problems]


@pytest.mark.parametrize(
    ("content", "tree"),
    [("", {}), ("# nothing\n", {}), ("kafka:\n", {"kafka": None}), ("\ufeffhttp: {port: 1}", {"http": {"port": 1}})],
)
def test_sound_files(tmp_path, content, tree):
    """An empty file, an empty section and a byte order mark are valid."""
    assert read(tmp_path, content) == (tree, [])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("kafka: [1\nhttp: 2", "line 2, column 5: "),
        ("kafka:\n\tx: 1", "line 2, column 1: "),
        ("a: 1\na: 2", "line 2, column 1: this key appears twice: remove one of the two"),
        ("k: {b: 1,\n    b: 2}", "line 2, column 5: this key appears twice"),
        ("- kafka", "holds a list: it must hold sections"),
        ("text", "holds text: it must hold sections"),
        ("x: !!python/object/apply:os.getcwd []", "line 1, column 4: "),
        ("a: 1\n---\nb: 1", "line 2, column 1: "),
        (b"\xff\xfe\x00", "is not UTF-8: save it as UTF-8"),
        ("a: \x01", "correct the YAML there"),
    ],
)
def test_broken_files(tmp_path, content, problem):
    """A broken file is one problem, with line and column if there are any."""
    _, (found,) = read(tmp_path, content)
    assert problem in found


def test_missing_file(tmp_path):
    """A missing file is reported by its path and the source of that path."""
    tree, (problem,) = read_file(tmp_path / "no.yaml")
    assert tree == {}
    assert problem == f"{tmp_path}/no.yaml: the configuration file was not found: correct --config or KIS_BOND_CONFIG"


def test_a_folder_is_not_a_file(tmp_path):
    """A path that cannot be read is reported with the system's reason."""
    _, (problem,) = read_file(tmp_path)
    assert "could not be read (Is a directory)" in problem


def test_only_names_with_section_and_two_underscores_are_ours():
    """Variables of Kubernetes and others are ignored; near misses of a section are not."""
    environ = {
        "KIS_BOND_PORT": "tcp://10.0.0.1:80",
        "KIS_BOND_PORT_8080_TCP_ADDR": "10.0.0.1",
        "KIS_BOND_KAFKA": "x",
        "KIS_BOND_CONFIG": "c.yaml",
        "KIS_BOND_SOMETHING__ELSE": "x",
        "KIS_BOND___X": "x",
        "KAFKA__X": "x",
        "KIS_BOND_KAFKA__CLIENT_ID": "a",
        "KIS_BOND_KAFKAS__CLIENT_ID": "b",
    }
    assert read_environment(environ, SECTIONS) == {"kafka": {"client_id": "a"}, "kafkas": {"client_id": "b"}}


def test_merge():
    """The environment overrides single values; a value in place of a section is a problem."""
    tree, problems = merge(
        {"kafka": {"a": 1, "b": 2}, "log": None, "http": 5, "other": 6},
        {"kafka": {"b": "3"}, "kis": {"c": "4"}},
        SECTIONS,
    )
    assert tree == {"kafka": {"a": 1, "b": "3"}, "kis": {"c": "4"}, "other": 6}
    assert problems == ["http: is a number, not a section: indent its settings below http:"]


def test_variable_of():
    """The variable of a path has the prefix, capitals and two underscores."""
    assert variable_of("kafka.client_id") == "KIS_BOND_KAFKA__CLIENT_ID"
