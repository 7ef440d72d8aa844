"""Lists the licences of everything that the image and the wheel bring, and refuses unknown ones."""

import re
import sys
from pathlib import Path

from release.locked import Package, locked

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
# Licences under which a package may be used and passed on without opening the program's own source.
ALLOWED = {"MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0", "ISC", "MIT-0", "MPL-2.0", "Unlicense"}
_HEAD = """# Licences of what is shipped

The connector itself has no licence yet: `Private :: Do Not Upload` stays in its metadata until its
owner chooses one. The wheel holds the connector and its simulator alone; the image also holds these
packages, in the versions of requirements/runtime.txt.

`make licences` writes this page and refuses a licence that is not on the list in
release/licences.py.

| package | version | licence |
|---|---|---|
"""
_SPELLINGS = {
    "MIT License": "MIT",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "ISC License": "ISC",
    "3-Clause BSD License": "BSD-3-Clause",
}


def spdx(licence: str) -> str:
    """Return the SPDX expression for a package's own words, or the words themselves."""
    return _SPELLINGS.get(licence.strip(), licence.strip())


def refused(packages: list[Package]) -> list[str]:
    """Return a sentence for each package that may not be shipped.

    In an expression with OR one allowed licence is enough; with AND each has to be allowed.
    """
    return [
        f"{package.name} {package.version}: its licence is {package.licence or 'not named'}: find out and decide"
        for package in packages
        if not _is_allowed(spdx(package.licence))
    ]


def _is_allowed(expression: str) -> bool:
    choices = re.split(r"\s+OR\s+", expression.replace("(", "").replace(")", ""))
    return any(all(part.strip() in ALLOWED for part in re.split(r"\s+AND\s+", choice)) for choice in choices)


def page(packages: list[Package]) -> str:
    """Return the page that lists the packages."""
    return _HEAD + "".join(f"| {each.name} | {each.version} | {spdx(each.licence)} |\n" for each in packages)


if __name__ == "__main__":
    shipped = locked(ROOT / "requirements" / "runtime.txt")
    PAGE.write_text(page(shipped))
    problems = refused(shipped)
    print("\n".join(problems) or f"{len(shipped)} packages, each with a licence that is allowed.")
    sys.exit(bool(problems))
