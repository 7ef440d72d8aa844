"""The example in plain Java reads ticks of two schemas without a registry."""

import pytest

from tests.conftest import started
from tests.examples import feed, java
from tests.examples.conftest import REQUIRED, printed
from tests.examples.windows import wrong

PROGRAM = str(java.EXAMPLES / "java-single-object" / "Windows.java")


@pytest.fixture
def windows(example_feed, tmp_path):
    """Return what runs the example with the names of schema files, and returns its lines."""
    jars = started("Avro for Java", lambda: java.jars("java-single-object"), REQUIRED)
    (tmp_path / "bond_tick.avsc").write_text(printed(example_feed, "schema", "show"))
    (tmp_path / "later.avsc").write_text(feed.NEW.text)
    return lambda *files: java.run(
        jars, PROGRAM, [example_feed.bootstrap_servers, example_feed.plain, *files], tmp_path
    )


@pytest.mark.parametrize("files", [("bond_tick.avsc", "later.avsc"), ("later.avsc", "bond_tick.avsc")])
def test_windows_are_exact(windows, expected_windows, files):
    """A reader with the older schema and one with the later schema compute the same."""
    assert wrong(expected_windows, windows(*files)) == {}


def test_an_unknown_schema_is_named(windows):
    """Ticks of a schema that the reader was not given stop it; none is read wrongly."""
    with pytest.raises(AssertionError, match="MissingSchemaException"):
        windows("bond_tick.avsc")
