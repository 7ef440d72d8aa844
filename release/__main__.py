"""Makes a release's files in dist/, checks them, and says how to sign them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from connector import __version__
from release.advisories import Advisories, affected, read
from release.image import save
from release.licences import refused
from release.locked import Package, locked
from release.sbom import bill
from release.secret_scan import scan
from tests.helm.toolchain import build_helm
from tests.kafka.jars import Unavailable

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
NEEDED = {
    ".whl": {"connector/py.typed", "connector/schemas/", "simulator/"},
    ".tar.gz": {"pyproject.toml", "connector/", "CHANGELOG.md"},
    ".tgz": {"Chart.yaml", "values.schema.json", "templates/"},
}
IMAGE = f"kis-bond-connector-{__version__}-image.tar"
REQUIRED = "KIS_BOND_REQUIRE_DOCKER"
AUDIT = """Compared with the {count} advisories of release/advisories.json, as of {day}; no later one is in it. They are
{source}.
Where the network has today's: pip-audit --disable-pip --require-hashes --requirement requirements/runtime.txt"""
SIGNING = """To sign, with cosign and the key of the release (nothing is signed here); docker push says the DIGEST:
  cosign sign-blob --key KEY --output-signature dist/SHA256SUMS.sig dist/SHA256SUMS
  cosign sign --key KEY registry.example.com/markets/kis-bond-connector@sha256:DIGEST
  helm package helm/kis-bond-connector --destination dist --sign --key NAME --keyring KEYRING"""


def audit(known: Advisories) -> str:
    """Return what the versions were compared with, and how to compare them with today's."""
    return AUDIT.format(count=len(known.records), day=known.reviewed, source=known.source)


def names_in(artifact: Path) -> list[str]:
    """Return the names of the files in a wheel, a source distribution or a chart package."""
    if artifact.suffix == ".whl":
        return zipfile.ZipFile(artifact).namelist()
    with tarfile.open(artifact) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def missing(artifact: Path) -> list[str]:
    """Return what the artifact should hold and does not."""
    names = names_in(artifact)
    wanted = next(needed for ending, needed in NEEDED.items() if artifact.name.endswith(ending))
    return [f"{artifact.name} has no {each}" for each in sorted(wanted) if not any(n.startswith(each) for n in names)]


def main() -> int:
    """Build, check and list; return 1 if anything is wrong."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(DIST)], cwd=ROOT, check=True)
    chart = ROOT / "helm" / "kis-bond-connector"
    subprocess.run([build_helm(), "package", chart, "--destination", DIST], check=True)
    packages = locked(ROOT / "requirements" / "runtime.txt")
    known = read()
    artifacts = sorted(DIST.iterdir())
    problems = [*refused(packages), *affected(packages, known), *scan(ROOT)]
    problems += [each for artifact in artifacts for each in missing(artifact)]
    needs = {artifact: _needs(artifact, packages) for artifact in artifacts}
    said = _add_image(needs, packages, problems)
    for artifact, needed in needs.items():
        text = json.dumps(bill(artifact, __version__, needed), indent=1)
        (DIST / f"{artifact.name}.cdx.json").write_text(text)
    sums = [f"{_sha256(each)}  {each.name}\n" for each in sorted(DIST.iterdir())]
    (DIST / "SHA256SUMS").write_text("".join(sums))
    print("".join(sums), said, audit(known), SIGNING, sep="\n")
    print(*problems, sep="\n")
    return int(bool(problems))


def _needs(artifact: Path, packages: list[Package]) -> list[Package]:
    """Return what an artifact needs: the chart needs the image, the others the locked packages."""
    return [Package("kis-bond-connector", __version__, "", "oci")] if artifact.suffix == ".tgz" else packages


def _add_image(needs: dict[Path, list[Package]], packages: list[Package], problems: list[str]) -> str:
    """Add the image to the artifacts, and return a sentence about it."""
    licences = {package.url: package.licence for package in packages}
    head = ["git", "rev-parse", "HEAD"]
    revision = subprocess.run(head, cwd=ROOT, capture_output=True, text=True, check=True)
    try:
        image, number, inside = save(DIST, IMAGE, revision.stdout.strip(), licences)
    except Unavailable as reason:
        if os.environ.get(REQUIRED) == "1":
            problems.append(f"The image could not be built, and {REQUIRED} is 1: {reason}")
        return f"LEFT OUT: the image, because {reason}. Set {REQUIRED}=1 to make this a failure."
    needs[image] = inside
    shipped = {package.url for package in inside}
    problems += [f"{IMAGE} lacks {package.url}, which is locked" for package in packages if package.url not in shipped]
    return f"{IMAGE} holds the image {number}; `docker load` brings it to an engine."


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
