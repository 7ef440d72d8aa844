"""The image of a release: built, saved, and listed with all that is installed in it."""

import json
from dataclasses import replace
from pathlib import Path

from release.locked import Package
from tests.image import base
from tests.image.build import build
from tests.image.engine import engine

INSIDE = """
import importlib.metadata, json, pathlib, re
found = [["pypi", each.metadata["Name"], each.version] for each in importlib.metadata.distributions()]
for text in pathlib.Path("/var/lib/dpkg/status").read_text(errors="replace").split("\\n\\n"):
    fields = dict(re.findall(r"^(Package|Version|Status): (.*)$", text, re.MULTILINE))
    if fields.get("Status") == "install ok installed":
        found.append(["deb/debian", fields["Package"], fields["Version"]])
print(json.dumps(sorted(found)))
"""


def save(folder: Path, name: str, revision: str, licences: dict[str, str]) -> tuple[Path, str, list[Package]]:
    """Build the image and save it as `name`; return the file, the image's id, and its packages.

    `licences` are those of packages by their URL. A registry gives the image another digest when it
    is pushed; the id is the digest of its configuration. Raises `Unavailable` without an engine.
    """
    with engine() as docker:
        if docker.is_own:
            base.make(docker)
        image = build(docker, revision=revision)
        number = docker.docker("image", "inspect", "--format", "{{.Id}}", image).strip()
        docker.docker("save", "--output", str(folder / name), image)
        run = ("run", "--rm", "--network", "none", "--entrypoint", "python3", image, "-c", INSIDE)
        found = json.loads(docker.docker(*run))
    packages = [Package(each, version, "", kind) for kind, each, version in found]
    return folder / name, number, [replace(each, licence=licences.get(each.url, "")) for each in packages]
