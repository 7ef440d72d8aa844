"""The tests' Java programs, fetched with Maven into the checkout's `.cache/`."""

import fcntl
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
CACHE = Path(__file__).parents[2] / ".cache" / "java"
# For a JVM that lives for minutes: what the second compiler costs, it would never earn back.
BRIEF = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
GOALS = {
    "kafka": "dependency:copy-dependencies",
    "registry": "dependency:copy",
    "keycloak": "dependency:copy",
}
OLDEST_JAVA = 17
FETCH_SECONDS = 300


class Unavailable(Exception):
    """The tests cannot have a server here; the text says why."""


def java() -> str:
    """Return the path of a new enough Java runtime. Raises `Unavailable`."""
    found = shutil.which("java")
    if found is None:
        raise Unavailable("no java on the PATH")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False, timeout=30).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise Unavailable(f"java is older than {OLDEST_JAVA}")
    return found


def fetch(profile: str) -> Path:
    """Return the folder with the jars of one profile of pom.xml; Maven fills it the first time.

    A lock file makes test runs in the same checkout wait for one another's download.
    Raises `Unavailable` without Maven or network.
    """
    folder = CACHE / f"{profile}-{hashlib.sha256(POM.read_bytes()).hexdigest()[:8]}"
    done = folder / ".complete"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "maven.lock").open("w") as lock:  # for all profiles: they share one local repository
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            _copy(profile, folder)
            done.touch()
    return folder


def _copy(profile: str, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("no mvn on the PATH")
    command = [maven, "-q", "-B", "-f", str(POM), "-P", profile, GOALS[profile], f"-DoutputDirectory={folder}"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"mvn did not fetch the {profile} jars in {FETCH_SECONDS} s") from None
    if result.returncode:
        said = (result.stdout + result.stderr).strip()
        raise Unavailable(f"mvn could not fetch the {profile} jars: {said[:400]}")
