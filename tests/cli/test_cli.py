"""Tests of how commands are found and how they end."""

import importlib
import os
import re
import subprocess
import sys

import pytest
import typer

import connector.__main__
from connector.cli import app, main
from connector.errors import CredentialsRefused, JournalUnusable, NotInTime

COMMANDS = ["audit", "bonds", "check", "journal", "run", "simulate", "subs", "tail", "topics"]


def test_help_lists_the_commands(cli):
    """The help says what the program does and names every command."""
    result = cli("--help")
    assert result.exit_code == 0
    assert "Korean bond ticks" in result.stdout
    assert not [command for command in COMMANDS if command not in result.stdout]


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["run"],
        ["tail"],
        ["simulate"],
        *(["topics", each] for each in ("init", "verify")),
        *(["subs", each] for each in ("ls", "add", "rm")),
        *(["bonds", each] for each in ("update", "search")),
        *(["journal", each] for each in ("inspect", "verify")),
    ],
)
def test_each_command_has_an_example(cli, command):
    """The help of each command ends with an example."""
    result = cli(*command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"kis-bond {' '.join(command)}" in result.stdout


def test_version(cli):
    """--version prints the version and ends with 0."""
    result = cli("--version")
    assert (result.exit_code, result.stdout.split()[0]) == (0, "kis-bond")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["subs", "add"], ["tail", "--count", "0"], ["check", "--appkey", "x"]]
)
def test_malformed_lines_end_with_two(cli, arguments):
    """A malformed command line ends with 2 and a message on stderr only."""
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_configuration_mistakes_end_with_two(cli, tmp_path):
    """Wrong settings end with 2, and stderr has a line for each mistake."""
    config = tmp_path / "c.yaml"
    config.write_text("http: {port: x}\nlog: {level: loud}")
    result = cli("subs", "ls", "--config", str(config))
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["http.port", "log.level"]


@pytest.mark.parametrize(
    ("before", "after"), [(["--config", "FILE"], []), ([], ["--config", "FILE"]), (["-c", "no.yaml"], ["-c", "FILE"])]
)
def test_config_before_or_after_the_command(cli, tmp_path, before, after):
    """--config counts before and after the command; the one after it wins."""
    config = tmp_path / "c.yaml"
    config.write_text("http: {prot: 1}")
    lines = [[str(config) if word == "FILE" else word for word in words] for words in (before, after)]
    result = cli(*lines[0], "check", *lines[1], CONFIG="/nonexistent.yaml")
    assert "http.prot: is not a setting: did you mean http.port?" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CredentialsRefused("no"), 3),
        (JournalUnusable("no"), 4),
        (NotInTime("no"), 5),
        (KeyboardInterrupt(), 130),
        (RuntimeError("appkey='canary'"), 1),
    ],
)
def test_endings(cli, monkeypatch, error, code):
    """Each kind of error has its exit code, and a bug shows its traceback without secrets."""

    def fail(*_):
        raise error

    monkeypatch.setattr(importlib.import_module("connector.cli.check"), "load_settings_of_connector", fail)
    result = cli("check")
    assert (result.exit_code, result.stdout) == (code, "")
    assert ("Traceback" in result.stderr) == (code == 1)
    assert "canary" not in result.stderr


def test_ctrl_c_during_the_imports(monkeypatch):
    """The imports take a second or two, and Ctrl-C ends them without a traceback."""

    class Interrupting:
        @staticmethod
        def find_spec(name, *_):
            if name == "connector.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "connector.cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupting])
    with pytest.raises(SystemExit) as ended:
        connector.__main__.main()
    assert ended.value.code == 130


def test_main_exits(capsys):
    """The entry point ends the process with the command's exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["subs", "rm"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip() == "Name at least one ISIN, or a list with --list."


def test_module_is_the_command():
    """The module connector runs as the command kis-bond."""
    result = subprocess.run(
        [sys.executable, "-m", "connector", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.startswith("kis-bond ")


@pytest.mark.parametrize("columns", ["0", "1", "39"])
def test_a_width_too_small_to_read_counts_as_unset(columns):
    """A message is whole words whatever small number COLUMNS holds."""
    result = subprocess.run(
        [sys.executable, "-m", "connector", "subs", "nosuch"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"COLUMNS": columns},
    )
    assert result.returncode == 2
    assert "No such command 'nosuch'" in result.stderr


@pytest.mark.parametrize("name", ["COLUMNS", "LINES", "TERMINAL_WIDTH"])
@pytest.mark.parametrize("size", ["²", "abc", "-1", "0", "9" * 5000, "999999999", ""])
def test_a_size_that_no_terminal_has_counts_as_unset(monkeypatch, capsys, name, size):
    """No size of a terminal in the environment ends a command with a traceback or fills memory."""
    monkeypatch.setenv(name, size)
    with pytest.raises(SystemExit) as ended:
        main(["subs", "nosuch"])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "No such command 'nosuch'" in message
    assert len(message) < 2000


def _options(command, path=()):
    """Yield each option below a command, with the path of its command."""
    for name, below in getattr(command, "commands", {}).items():
        yield from _options(below, (*path, name))
    for each in command.params:
        yield path, each


@pytest.mark.parametrize("path", sorted({path for path, _ in _options(typer.main.get_command(app))}), ids=" ".join)
def test_the_help_says_no_more_than_it_has_to(capsys, monkeypatch, path):
    """No help shows backticks, types of Python or ranges: what an option takes has a plain name."""
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main([*path, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "Usage" in shown
    assert not re.findall(r"`| RANGE|<=|>=|<?\b(?:bool|float|FLOAT|int|INTEGER|str|path|list\[\w*)\b>", shown)


@pytest.mark.parametrize("columns", ["80", "100"])
def test_the_help_is_prose_that_fills_its_lines(capsys, monkeypatch, columns):
    """A line's end in the source ends no line of the help, and what one types is unchanged."""
    monkeypatch.setenv("COLUMNS", columns)
    for words in (["demo"], ["config", "schema"]):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    begin = next(at for at, line in enumerate(shown) if line.startswith("Nothing has to be prepared"))
    paragraph = shown[begin : shown.index("", begin)]
    assert min(map(len, paragraph[:-1])) > int(columns) - 20
    assert "# yaml-language-server: $schema=kis-bond.schema.json" in " ".join(shown)


FRACTIONS = [
    (*path, option.opts[0])
    for path, option in _options(typer.main.get_command(app))
    if option.type_descriptor.annotation is float
]


@pytest.mark.parametrize("command", FRACTIONS, ids=" ".join)
@pytest.mark.parametrize("value", ["inf", "1e400", "nan", "-inf", "86400000"])
def test_no_duration_or_rate_is_without_end(cli, command, value):
    """A number that is infinite, or too large to be meant, ends with 2 and names the option."""
    result = cli(*command, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{command[-1]}': Input should be" in result.stderr


def test_every_command_that_waits_is_among_them():
    """The options are found by their type, so that a new one is tested too."""
    found = {" ".join(each) for each in FRACTIONS}
    assert {"subs ls --wait", "subs rm --wait", "demo --seconds", "simulate --rate", "simulate --linger"} <= found


@pytest.mark.parametrize("name", ["FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE"])
@pytest.mark.parametrize("words", [["subs", "ls", "--wait", "x"], ["subs", "nosuch"], ["--help"], ["subs"]])
def test_a_pipe_gets_no_colours(name, words):
    """Usage errors and help in a pipe are plain text, whatever a CI system demands."""
    result = subprocess.run(
        [sys.executable, "-m", "connector", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {name: "1", "TERM": "xterm-256color"},
    )
    assert "Usage" in result.stdout + result.stderr
    assert "\x1b" not in result.stdout + result.stderr
