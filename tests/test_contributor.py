"""The contributor page's file map names the modules that exist."""

import re

from tests.test_mirror import MODULES, ROOT

PAGE = (ROOT / "docs" / "contributor.md").read_text()


def mapped():
    """Return the modules the map names, in its order."""
    names, folder = [], None
    for line in PAGE.splitlines():
        if line.startswith("#"):
            heading = re.fullmatch(r"### `(.+/)`", line)
            folder = heading[1] if heading else None
        elif folder is not None and (row := re.match(r"\| `(.+?\.py)` \|", line)):
            names.append(folder + row[1])
    return names


def test_file_map_is_complete():
    """The file map of docs/contributor.md names every module, and only modules that exist."""
    assert sorted(mapped()) == sorted(str(module.relative_to(ROOT)) for module in MODULES)


def test_named_files_exist():
    """Every path that docs/contributor.md names in its prose exists."""
    prose = PAGE.partition("## File map")[0] + PAGE.partition("## Invariants")[2]
    paths = re.findall(r"`((?:app|cli|core|shell|tests|docs)/[\w/.-]+)`", prose)
    missing = [path for path in paths if not (ROOT / path).exists() and not (ROOT / "connector" / path).exists()]
    assert paths
    assert not missing
