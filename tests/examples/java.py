"""Runs the Java programs of examples, with jars that Maven puts into `.cache`."""

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.kafka.jars import CACHE, Unavailable, java

EXAMPLES = Path(__file__).parents[2] / "examples"
FETCH_SECONDS = 600
RUN_SECONDS = 170
HEAP = "-Xmx1g"
# Flink looks into the JDK, which has to be allowed.
OPENED = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.io", "java.lang", "java.lang.invoke", "java.lang.reflect", "java.net", "java.nio", "java.time",
        "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch", "sun.nio.cs",
        "sun.security.action", "sun.util.calendar",
    )
]  # fmt: skip


def jars(example: str) -> Path:
    """Return the folder with the jars of an example's pom.xml. Raises `Unavailable`."""
    maven, pom = shutil.which("mvn"), EXAMPLES / example / "pom.xml"
    if maven is None:
        raise Unavailable("no mvn on the PATH")
    java()
    folder = CACHE / f"{example}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:8]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "maven.lock").open("w") as lock:  # all of them share one local repository
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            _copy(maven, pom, folder)
            (folder / ".complete").touch()
    return folder


def _copy(maven: str, pom: Path, folder: Path) -> None:
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    try:
        result = subprocess.run(
            [maven, "-q", "-B", "-f", str(pom), *goal],
            capture_output=True, text=True, check=False, timeout=FETCH_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unavailable(f"mvn did not fetch the jars of {pom.parent.name} in {FETCH_SECONDS} s") from None
    if result.returncode:
        raise Unavailable(f"mvn could not fetch the jars of {pom.parent.name}: {result.stdout.strip()[:600]}")


def run(folder: Path, program: str, arguments: Sequence[str], cwd: Path) -> list[str]:
    """Return what a class, or the one in a source file, printed on the jars of a folder."""
    command = [java(), HEAP, "-XX:TieredStopAtLevel=1", *OPENED, "-cp", f"{folder}/*", program, *arguments]
    with (cwd / "stderr").open("w+") as errors:
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, check=False, timeout=RUN_SECONDS,
            cwd=cwd,
        )  # fmt: skip
        errors.seek(0)
        said = errors.read()
    assert result.returncode == 0, f"{program} ended with {result.returncode}:\n{said[-3000:]}"
    return result.stdout.splitlines()
