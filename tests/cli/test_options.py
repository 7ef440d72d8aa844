"""Tests of the options that commands share."""

from types import SimpleNamespace

from connector.cli.options import load_settings


def context(config=None):
    """Return the context of a command with this --config before it."""
    return SimpleNamespace(find_root=lambda: SimpleNamespace(params={"config": config}))


def test_the_commands_own_file_wins(tmp_path):
    """The file given after the command is read, else the one before it, else none."""
    files = []
    for port in (1, 2):
        files.append(tmp_path / f"{port}.yaml")
        files[-1].write_text(f"http: {{port: {port}}}")
    assert load_settings(context(files[0]), files[1]).http.port == 2
    assert load_settings(context(files[0]), None).http.port == 1
    assert load_settings(context(), None).http.port == 8080
