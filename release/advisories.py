"""Compares locked packages with the known advisories of a file, for a network that has none.

The file holds records in the form of https://ossf.github.io/osv-schema/, cut down to what is read
here.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from release.locked import Package

FILE = Path(__file__).with_name("advisories.json")


@dataclass(frozen=True, slots=True)
class Advisories:
    """The records of a file, the public ones they were taken from, and up to which day these go.

    `reviewed` is the day of the newest commit in `source`, not the day on which somebody read it.
    """

    source: str
    reviewed: str
    records: list[dict[str, Any]]


def read(path: Path = FILE) -> Advisories:
    """Return the advisories of a file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return Advisories(content["source"], content["reviewed"], content["advisories"])


def affected(packages: list[Package], known: Advisories) -> list[str]:
    """Return a sentence for each package whose version an advisory names."""
    versions = {_name(package.name): Version(package.version) for package in packages}
    return [
        f"{name} {versions[name]} has {record['id']} ({record['summary']}): take {span['fixed']} or later"
        for record in known.records
        if (name := _name(record["package"])) in versions
        for span in record["ranges"]
        if Version(span["introduced"]) <= versions[name] < Version(span["fixed"])
    ]


def _name(text: str) -> str:
    return text.lower().replace("_", "-")
