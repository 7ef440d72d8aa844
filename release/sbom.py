"""Writes software bills of materials in CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)."""

import hashlib
from pathlib import Path
from typing import Any

from release.licences import spdx
from release.locked import Package


def bill(artifact: Path, version: str, packages: list[Package]) -> dict[str, Any]:
    """Return the bill of one artifact: what it is, its SHA-256, and the packages it needs.

    A package without a known licence has none in the bill.
    """
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    subject = {
        "type": "application",
        "bom-ref": artifact.name,
        "name": artifact.name,
        "version": version,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject},
        "components": [_component(package) for package in packages],
        "dependencies": [{"ref": artifact.name, "dependsOn": [package.url for package in packages]}],
    }


def _component(package: Package) -> dict[str, Any]:
    component = {
        "type": "container" if package.kind == "oci" else "library",
        "bom-ref": package.url,
        "name": package.name,
        "version": package.version,
        "purl": package.url,
    }
    return component | ({"licenses": [{"expression": spdx(package.licence)}]} if package.licence else {})
