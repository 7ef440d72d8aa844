"""The connector of the release before this one, unpacked from the repository's history."""

import os
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[2]
# No release has been published yet: this is the last state of 0.1.0 before the unreleased changes.
COMMIT = "e3d11506110c1eebedf657d16aa8f1565148fe94"


class NotInThisClone(Exception):
    """The clone has no history that reaches back to the release before."""


def unpack(folder: Path) -> Path:
    """Unpack the release into a folder, and return it; it runs with the packages of this checkout.

    Raises NotInThisClone in a shallow clone, or RuntimeError if KIS_BOND_REQUIRE_HISTORY is set.
    """
    # Git reads no checkout of another user unless it is told to.
    command = ["git", "-c", "safe.directory=*", "archive", COMMIT, "connector", "schemas"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise NotInThisClone(str(error)) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        error = RuntimeError if os.environ.get("KIS_BOND_REQUIRE_HISTORY") else NotInThisClone
        raise error(f"the release before is not in this clone, run git fetch --unshallow: {said}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
