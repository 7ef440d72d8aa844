"""Tests of the options that commands share."""

from types import SimpleNamespace

import pytest

from connector.cli.options import load_settings
from connector.errors import ConfigurationError


def context(config=None):
    """Return the context of a command with this --config before it."""
    return SimpleNamespace(find_root=lambda: SimpleNamespace(params={"config": config}))


def test_the_commands_own_file_wins(tmp_path):
    """The file given after the command is read, else the one before it, else none."""
    files = []
    for port in (1, 2):
        (path := tmp_path / f"{port}.yaml").write_text(f"http: {{port: {port}}}")
        files.append(str(path))
    assert load_settings(context(files[0]), files[1]).http.port == 2
    assert load_settings(context(files[0]), None).http.port == 1
    assert load_settings(context(), None).http.port == 8080


@pytest.mark.parametrize("given", ["", " ", "\r"])
def test_an_empty_name_is_a_mistake(given):
    """An empty --config, as an unset variable leaves it, is refused and not read as this folder."""
    for where in ((context(), given), (context(given), None)):
        with pytest.raises(ConfigurationError, match="--config: is empty: give the path"):
            load_settings(*where)
