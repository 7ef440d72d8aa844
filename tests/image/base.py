"""The image's base, where none can be pulled: Debian's Python, made with debootstrap."""

import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.image.engine import ROOT, Engine, run
from tests.kafka.jars import Unavailable

SUITE = "bookworm"  # the release that has Python 3.11
PACKAGES = "python3,python3-venv,ca-certificates,tzdata"
# The machine's own certificates: they are what its package index is reached with.
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LEFT_OUT = (
    "./var/cache/apt",
    "./var/lib/apt/lists",
    "./usr/share/doc",
    "./usr/share/man",
    "./usr/share/locale",
    "./dev",
    "./proc",
    "./sys",
)
SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def name() -> str:
    """Return the base that the Dockerfile names."""
    found = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def make(engine: Engine) -> None:
    """Give the engine a base under the Dockerfile's name, reusing an earlier one."""
    recipe = Path(__file__).read_bytes() + CERTIFICATES.read_bytes()
    made = f"kis-bond-base:{hashlib.sha256(recipe).hexdigest()[:12]}"
    if not engine.docker("images", "--quiet", made).strip():
        _debootstrap(engine, made)
    engine.docker("tag", made, name())


def _debootstrap(engine: Engine, tag: str) -> None:
    if shutil.which("debootstrap") is None:
        raise Unavailable("no debootstrap on the PATH, and so no base for the image")
    with tempfile.TemporaryDirectory(prefix="kis-bond-base-") as folder:
        root = f"{folder}/root"
        run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root, *_mirror()])
        shutil.copy(CERTIFICATES, f"{root}{CERTIFICATES}")
        with subprocess.Popen(
            ["tar", "-C", root, *(f"--exclude={path}/*" for path in LEFT_OUT), "-c", "."], stdout=subprocess.PIPE
        ) as archive:
            engine.docker("import", "--change", f"ENV {SEARCH_PATH}", "-", tag, stdin=archive.stdout)
        assert archive.returncode == 0


def _mirror() -> list[str]:
    """Return where this machine's packages come from, or nothing on another Debian release."""
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        f"Codename: {SUITE}",
        "Component: main",
    ]
    return run(command).split()[:1]
