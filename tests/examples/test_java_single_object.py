"""The example in plain Java reads ticks of three schemas without a registry."""

import pytest

from tests.conftest import started
from tests.examples import feed, java
from tests.examples.conftest import REQUIRED
from tests.examples.windows import wrong

PROGRAM = str(java.EXAMPLES / "java-single-object" / "Windows.java")


@pytest.fixture
def windows(example_feed, tmp_path):
    """Return what runs the example with the names of schema files, and returns its lines."""
    jars = started("Avro for Java", lambda: java.jars("java-single-object"), REQUIRED)
    feed.write_schemas(tmp_path)
    return lambda *files: java.run(
        jars, PROGRAM, [example_feed.bootstrap_servers, example_feed.plain, *files], tmp_path
    )


@pytest.mark.parametrize("files", [feed.SCHEMA_FILES, feed.SCHEMA_FILES[::-1]], ids=["oldest", "latest"])
def test_windows_are_exact(windows, expected_windows, files):
    """A reader with the schema of the first release and one with the latest compute the same."""
    assert wrong(expected_windows, windows(*files)) == {}


def test_an_unknown_schema_is_named(windows):
    """Ticks of a schema that the reader was not given stop it; none is read wrongly."""
    with pytest.raises(AssertionError, match="MissingSchemaException"):
        windows(*feed.SCHEMA_FILES[:2])
