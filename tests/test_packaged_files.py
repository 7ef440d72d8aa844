"""The published schemas and the page are found in a checkout and in a wheel."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from connector.packaged_files import (
    CONTENT_TYPES,
    INDEX,
    SCRIPTS,
    bond_tick,
    page_file,
    released_schemas,
    schema_text,
)

ROOT = Path(__file__).parents[1]


def test_the_tick_schema_is_found():
    """The Avro schema of a tick is the published file."""
    assert json.loads(bond_tick())["namespace"] == "kis.bond"


@pytest.mark.parametrize("name", CONTENT_TYPES)
def test_each_file_of_the_page_is_found(name):
    """Each file of the page has a text."""
    assert page_file(name)


@pytest.mark.parametrize("read", [schema_text, page_file])
def test_a_file_that_is_not_shipped_is_an_error(read):
    """An unknown name is an error, not an empty text."""
    with pytest.raises(FileNotFoundError):
        read("none.js")


def test_the_page_loads_nothing_else():
    """The page loads only its own files, and inserts no text as markup."""
    loaded = set(re.findall(r'(?:src|href)="([^"#:]+\.\w+)"', page_file(INDEX)))
    loaded |= {name for script in SCRIPTS for name in re.findall(r'from "\./([^"]+)"', page_file(script))}
    assert loaded == set(CONTENT_TYPES) - {INDEX}
    for name in CONTENT_TYPES:
        text = page_file(name).replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text)


def test_a_wheel_holds_the_page(tmp_path):
    """A wheel holds the page's files where the loader looks for them."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        assert {f"connector/page/{name}" for name in CONTENT_TYPES} <= set(content.namelist())


def test_released_schemas_are_in_the_order_of_their_versions(tmp_path, monkeypatch):
    """1.10.0 comes after 1.9.0, and the first release is kept."""
    assert next(iter(released_schemas())) == "1.0.0"
    folder = tmp_path / "schemas" / "released"
    folder.mkdir(parents=True)
    for version in ("1.10.0", "1.9.0"):
        (folder / f"{version}.avsc").write_text(version)
    monkeypatch.setattr("connector.packaged_files._PACKAGE", tmp_path)
    assert released_schemas() == {"1.9.0": "1.9.0", "1.10.0": "1.10.0"}
