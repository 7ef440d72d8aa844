"""Looks for secrets in the files that git knows."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A KIS app key is PS and 34 letters or digits. An invented one says so, or repeats one character.
_SHAPES = {
    "a KIS app key": re.compile(r"\bPS[A-Za-z0-9]{34}\b"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"),
    "an AWS access key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
    "a URL with a password": re.compile(r"https?://[^/\s:@'\"{}$<>]+:[^/\s:@'\"{}$<>]{8,}@(?![\w.-]*example)"),
}
_INVENTED = re.compile(r"(?i)not ?a ?real|example|dummy|invented|(.)\1{7}|0123456789|abcdefgh")


def secrets_in(text: str) -> list[str]:
    """Return what looks like a secret, as `line: kind`; the secret itself is not shown."""
    return [
        f"{text.count(chr(10), 0, match.start()) + 1}: {kind}"
        for kind, shape in _SHAPES.items()
        for match in shape.finditer(text)
        if not _INVENTED.search(match[0])
    ]


def _names(root: Path) -> list[str]:
    """Return the names of the repository's files; without git, of all files that it could hold."""
    # Git reads no checkout of another user unless it is told to.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    try:
        listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        names = (path.relative_to(root) for path in root.rglob("*"))
        return [str(name) for name in names if not {".git", ".venv", ".cache"} & set(name.parts)]
    return [name for name in listed.stdout.split("\0") if name]


def scan(root: Path) -> list[str]:
    """Return what looks like a secret in the program's files; tests hold invented ones."""
    found = []
    for name in _names(root):
        path = root / name
        if name.startswith("tests/") or not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{name}:{each}" for each in secrets_in(text)]
    return found


if __name__ == "__main__":
    hits = scan(ROOT)
    print("\n".join(hits) or "No secret was found.")
    sys.exit(bool(hits))
