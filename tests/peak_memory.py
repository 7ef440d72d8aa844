"""How much memory this process takes at most while something runs."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROCESS = Path("/proc/self")


@dataclass
class Peak:
    """By how many bytes the resident memory grew at its highest, once the block has ended."""

    grown_bytes: int = 0


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the block's peak of resident memory; a write to clear_refs resets it (Linux)."""
    (PROCESS / "clear_refs").write_text("5")
    before, peak = _resident("VmRSS"), Peak()
    try:
        yield peak
    finally:
        peak.grown_bytes = _resident("VmHWM") - before


def _resident(name: str) -> int:
    lines = (PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
