"""Tests of the settings' meanings."""

from connector.settings import Settings
from connector.settings.meanings import MEANINGS, SECTIONS


def test_every_setting_has_a_meaning():
    """Sections and settings are those of the model."""
    sections = {name: field.annotation.model_fields for name, field in Settings.model_fields.items()}
    assert list(SECTIONS) == list(sections)
    assert sorted(MEANINGS) == sorted(f"{section}.{name}" for section, names in sections.items() for name in names)


def test_meanings_are_sentences():
    """Each meaning ends with a full stop, and none has a line break or a table's bar."""
    for path, meaning in MEANINGS.items():
        assert meaning.endswith("."), path
        assert not set(meaning) & set("\n|"), path
