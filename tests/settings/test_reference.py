"""Tests of the reference of all settings."""

import jsonschema
import pytest
import yaml

from connector.settings import load
from connector.settings.reference import WIDTH, example, json_schema, settings
from tests.settings.settings_page import PAGE, page

SCHEMA = json_schema()


def is_valid(tree):
    """Return whether the schema takes a settings file's content."""
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(tree)


def test_the_example_changes_nothing(tmp_path):
    """The example is accepted as it is, gives the settings of no file, and brings no warning."""
    path = tmp_path / "example.yaml"
    path.write_text(example())
    assert load(path, {}) == load(None, {})
    assert list(load(path, {}).warnings()) == list(load(None, {}).warnings())


def test_the_example_has_every_setting_in_80_columns():
    """Each setting stands in the example, with its meaning above it, and no line is too wide."""
    text = example()
    assert max(map(len, text.splitlines())) <= WIDTH
    for setting in settings():
        above, _, _ = text.partition(f"\n  {'# ' if setting.is_computed else ''}{setting.name}:")
        assert setting.meaning.split()[0] in above
    given = yaml.safe_load(text)
    assert given["journal"]["max_bytes"] == "1GiB"
    assert given["kafka"]["ssl_ca_file"] is None
    assert "name" not in given["replicas"]  # this machine's own name would be wrong elsewhere


def test_every_default_is_valid():
    """The schema is a schema, and takes what the example gives, if it is set."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert is_valid(yaml.safe_load(example()))


@pytest.mark.parametrize(
    ("section", "name", "value", "valid"),
    [
        ("journal", "max_bytes", "2GiB", True),
        ("journal", "max_bytes", 2**31, True),
        ("journal", "max_bytes", 2**20, False),
        ("journal", "max_byte", 2**31, False),
        ("http", "allowed_hosts", "a,b", True),
        ("http", "allowed_hosts", ["a", "b"], True),
        ("http", "allowed_hosts", 1, False),
        ("kis", "session_capacity", 0, False),
        ("kis", "credentials_dir", "/keys", True),
        ("log", "level", "loud", False),
    ],
)
def test_the_schema_knows_names_types_choices_and_bounds(section, name, value, valid):
    """An editor is told of an unknown name, a wrong type or word, and a number out of bounds."""
    assert is_valid({section: {name: value}}) == valid


def test_an_unknown_section_is_refused():
    """A misspelt section is not taken for something else."""
    assert not is_valid({"kakfa": {}})


def test_the_page_is_of_the_settings():
    """docs/settings.md is what `make settings-page` writes."""
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make settings-page`"
