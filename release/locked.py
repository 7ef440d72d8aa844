"""The packages that a lock file of requirements/ installs, with what their metadata says."""

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import quote

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
_NAMED_BY_CLASSIFIER = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
}


@dataclass(frozen=True, slots=True)
class Package:
    """One package; `licence` is an SPDX expression or the package's own words, or "".

    `kind` is the type of its package URL (https://github.com/package-url/purl-spec).
    """

    name: str
    version: str
    licence: str
    kind: str = "pypi"

    @property
    def url(self) -> str:
        """The package URL."""
        return f"pkg:{self.kind}/{self.name.lower().replace('_', '-')}@{quote(self.version, safe='.-')}"


def locked(path: Path) -> list[Package]:
    """Return the packages of a lock file that this platform installs, by name.

    A package that is locked for another platform alone is not installed, and left out.
    """
    found = []
    for name, version in _PIN.findall(path.read_text()):
        try:
            found.append(Package(name, version, _licence(distribution(name))))
        except PackageNotFoundError:
            continue
    return sorted(found, key=lambda package: package.name)


def _licence(package: Distribution) -> str:
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    for classifier in metadata.get_all("Classifier", []):
        if classifier in _NAMED_BY_CLASSIFIER:
            return _NAMED_BY_CLASSIFIER[classifier]
    return (metadata.get("License") or "").splitlines()[0] if metadata.get("License") else ""
