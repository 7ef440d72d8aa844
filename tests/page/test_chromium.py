"""The tests' browser is real and draws Korean; without a browser they say so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


async def test_korean_letters_are_drawn(browser):
    """Two syllables look different, which two boxes for missing letters would not."""
    page = await browser.new_page()
    await page.set_content("<p lang=ko><span id=one>국</span> <span id=two>고</span></p>")
    assert await page.locator("#one").screenshot() != await page.locator("#two").screenshot()


@pytest.mark.parametrize(("required", "code", "outcome"), [("0", 0, "1 skipped"), ("1", 1, "1 error")])
def test_tests_without_a_browser_are_left_out_loudly(required, code, outcome):
    """Without Chromium the tests are skipped with a reason, or fail if it is required."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment |= {"PATH": "", "KIS_BOND_REQUIRE_BROWSER": required}
    run = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"{__file__}::{test_korean_letters_are_drawn.__name__}",
    ]
    result = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, outcome in result.stdout) == (code, True), result.stdout
    assert "LEFT OUT" in result.stdout
    assert "is on the PATH" in result.stdout
    assert "KIS_BOND_REQUIRE_BROWSER=1" in result.stdout
