"""Runs the Java programs of examples, with jars that Maven puts into `.cache`."""

import fcntl
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.examples.programs import EXAMPLES, digest, lines, once
from tests.kafka.jars import CACHE, Unavailable, java

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
    folder = CACHE / f"{example}-{digest([pom])}" / "jars"
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "maven.lock").open("w") as lock:  # all of them share one local repository
        fcntl.flock(lock, fcntl.LOCK_EX)
        return once(folder, [maven, "-q", "-B", "-f", str(pom), *goal], pom.parent)


def run(folder: Path, program: str, arguments: Sequence[str], cwd: Path) -> list[str]:
    """Return what a class, or the one in a source file, printed on the jars of a folder."""
    options = [HEAP, "-XX:TieredStopAtLevel=1", *OPENED, "-cp", f"{folder}/*"]
    return lines([java(), *options, program, *arguments], cwd)
