"""Every module has its test module."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [path for package in ("connector", "simulator") for path in sorted((ROOT / package).rglob("*.py"))]
MODULES = [path for path in FILES if path.stem not in {"__init__", "__main__"}]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_module_has_its_test_module(module):
    """`connector/a/b.py` has `tests/a/test_b.py`, `simulator/b.py` has `tests/simulator/test_b.py`."""
    inside = (
        module.relative_to(ROOT / "connector")
        if module.is_relative_to(ROOT / "connector")
        else module.relative_to(ROOT)
    )
    assert (ROOT / "tests" / inside.with_name(f"test_{module.name}")).exists()
