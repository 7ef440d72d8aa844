"""Makes a release's files in dist/, checks them, and says how to sign them."""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from connector import __version__
from release.licences import refused
from release.locked import locked
from release.sbom import bill
from release.secret_scan import scan
from tests.helm.toolchain import build_helm

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
NEEDED = {
    ".whl": {"connector/py.typed", "connector/schemas/", "simulator/"},
    ".tar.gz": {"pyproject.toml", "connector/", "CHANGELOG.md"},
    ".tgz": {"Chart.yaml", "values.schema.json", "templates/"},
}
SIGNING = """To sign, with cosign and the key of the release (nothing is signed here):
  cosign sign-blob --key KEY --output-signature dist/SHA256SUMS.sig dist/SHA256SUMS
  cosign sign --key KEY registry.example.com/markets/kis-bond-connector@sha256:DIGEST
  helm package helm/kis-bond-connector --destination dist --sign --key NAME --keyring KEYRING"""


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
    artifacts = sorted(DIST.iterdir())
    problems = [*refused(packages), *scan(ROOT), *(each for artifact in artifacts for each in missing(artifact))]
    for artifact in artifacts:
        own = [] if artifact.suffix == ".tgz" else packages
        text = json.dumps(bill(artifact, __version__, own), indent=1)
        (DIST / f"{artifact.name}.cdx.json").write_text(text)
    sums = [f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in sorted(DIST.iterdir())]
    (DIST / "SHA256SUMS").write_text("".join(sums))
    print("".join(sums), SIGNING, *problems, sep="\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
