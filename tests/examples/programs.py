"""Runs the programs of examples, and puts what pip and Go make for them into `.cache`."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.kafka.jars import Unavailable

EXAMPLES = Path(__file__).parents[2] / "examples"
CACHE = Path(__file__).parents[2] / ".cache" / "examples"
FETCH_SECONDS = 1800  # PySpark is 430 MB
RUN_SECONDS = 170


def lines(command: Sequence[str | Path], cwd: Path, **environment: str) -> list[str]:
    """Return what a program printed."""
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=RUN_SECONDS, cwd=cwd,
        env=os.environ | environment,
    )  # fmt: skip
    assert result.returncode == 0, f"{command[0]} ended with {result.returncode}:\n{result.stderr[-3000:]}"
    return result.stdout.splitlines()


def go(example: str) -> Path:
    """Return the program that Go built of an example. Raises `Unavailable`."""
    compiler = shutil.which("go")
    if compiler is None:
        raise Unavailable("no go on the PATH")
    sources = sorted((EXAMPLES / example).glob("*.go")) + sorted((EXAMPLES / example).glob("go.*"))
    made = CACHE / f"{example}-{digest(sources)}" / "program"
    return once(made, [compiler, "build", "-mod=readonly", "-o", str(made), "."], EXAMPLES / example)


def packages(example: str, *names: str) -> Path:
    """Return a folder with these packages, as the example locks them. Raises `Unavailable`."""
    locked = EXAMPLES / example / "requirements.txt"
    blocks = [block for block in re.split(r"\n(?=\w)", locked.read_text()) if block.partition("==")[0] in names]
    assert len(blocks) == len(names), f"{locked} lacks one of {', '.join(names)}"
    made = CACHE / f"{example}-{digest([locked])}" / "packages"
    made.parent.mkdir(parents=True, exist_ok=True)
    wanted = made.with_name("wanted.txt")
    wanted.write_text("\n".join(blocks))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    # PySpark has no wheel.
    binary = ["--only-binary", ":all:", "--no-binary", "pyspark"]
    return once(made, [*pip, *binary, "--target", str(made), "-r", str(wanted)], EXAMPLES / example)


def digest(files: Sequence[Path]) -> str:
    """Return what changes when one of the files does."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]


def once(made: Path, command: Sequence[str], cwd: Path) -> Path:
    """Run what makes a file or folder, unless it was made before. Raises `Unavailable`."""
    made.parent.mkdir(parents=True, exist_ok=True)
    done = made.parent / ".complete"
    with (made.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            if made.is_dir():
                shutil.rmtree(made)  # a part of it, from a run that was ended
            try:
                result = subprocess.run(
                    command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS, cwd=cwd
                )
            except subprocess.TimeoutExpired:
                raise Unavailable(f"{command[0]} did not make {made.name} in {FETCH_SECONDS} s") from None
            if result.returncode:
                said = (result.stdout + result.stderr).strip()
                raise Unavailable(f"{command[0]} could not make {made.name}: {said[:600]}")
            done.touch()
    return made
