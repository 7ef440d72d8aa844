"""Runs the Java programs of examples, with jars that Maven puts into `.cache`."""

import fcntl
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.examples.programs import EXAMPLES, digest, lines, once
from tests.kafka.jars import CACHE, Unavailable, java

RELEASED = EXAMPLES.parent / "schemas" / "released"
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


COPY = ["dependency:copy-dependencies", "-DincludeScope=runtime"]


def jars(example: str) -> Path:
    """Return the folder with the jars of an example's pom.xml. Raises `Unavailable`."""
    pom = EXAMPLES / example / "pom.xml"
    folder = CACHE / f"{example}-{digest([pom])}" / "jars"
    return _maven(folder, pom, [*COPY, f"-DoutputDirectory={folder}"])


def compiled(example: str) -> list[Path]:
    """Return the class path of an example that Maven compiled. Raises `Unavailable`."""
    source = EXAMPLES / example
    files = [source / "pom.xml", *sorted(path for path in (source / "src").rglob("*") if path.is_file())]
    folder = CACHE / f"{example}-{digest([*files, *sorted(RELEASED.iterdir())])}"
    shutil.copytree(source / "src", folder / "src", dirs_exist_ok=True)
    shutil.copy(source / "pom.xml", folder)
    made = _maven(folder / "target", folder / "pom.xml", ["compile", *COPY, f"-Dreleased.schemas={RELEASED}"])
    return [made / "classes", made / "dependency" / "*"]


def _maven(made: Path, pom: Path, goals: Sequence[str]) -> Path:
    """Have Maven make a folder, unless it did before. Raises `Unavailable`."""
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("no mvn on the PATH")
    java()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "maven.lock").open("w") as lock:  # all of them share one local repository
        fcntl.flock(lock, fcntl.LOCK_EX)
        return once(made, [maven, "-q", "-B", "-f", str(pom), *goals], pom.parent)


def command(path: Sequence[Path], program: str, arguments: Sequence[str]) -> list[str]:
    """Return what runs a class, or the one in a source file, with a class path."""
    options = [HEAP, "-XX:TieredStopAtLevel=1", *OPENED]
    return [java(), *options, "-cp", ":".join(map(str, path)), program, *arguments]


def run(folder: Path, program: str, arguments: Sequence[str], cwd: Path) -> list[str]:
    """Return what a class, or the one in a source file, printed on the jars of a folder."""
    return lines(command([folder / "*"], program, arguments), cwd)
