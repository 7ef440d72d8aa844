"""Takes the documentation's pictures of the page.

Example:
  python -m tests.page.pictures
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, expect

from connector.cli.demo.kafka import first_bonds
from tests.app.audit.world import auditing, settings_of
from tests.kafka.jars import Unavailable
from tests.page.chromium import browsing, find_chromium
from tests.page.scene import address, running_connector

DOCS = Path(__file__).parents[2] / "docs"
SCHEMES = ("light", "dark")
WINDOW = {"width": 1280, "height": 800}
TELEPHONE = {"width": 390, "height": 844}
LOOKED_AT = {"light": ("light", WINDOW), "dark": ("dark", WINDOW), "narrow": ("light", TELEPHONE)}
LOOKS = {"KIS_BOND_KIS__SESSION_CAPACITY": "3", "KIS_BOND_REPLICAS__NAME": "kis-bond-connector-0"}
POINTS = 40  # so many prices make a line worth looking at
SECONDS = 180


async def take(folder: Path, points: int = POINTS) -> list[Path]:
    """Take the pictures and return their paths. Raises Unavailable."""
    bonds = first_bonds(7)
    with tempfile.TemporaryDirectory() as scratch:
        async with (
            browsing(find_chromium()) as browser,
            running_connector(
                Path(scratch), app_keys=2, environment=LOOKS, rate=30, faults=["missing=60"]
            ) as connector,
            auditing(settings_of(connector, REPLICAS__NAME="kis-bond-audit-0")) as auditor,
        ):
            pages = {
                name: await browser.new_page(color_scheme=scheme, viewport=window)
                for name, (scheme, window) in LOOKED_AT.items()
            }
            for page in pages.values():
                await page.goto(address(connector))
            connector.write("treasury-desk", {"instruments": bonds[:5], "priority": 7})
            connector.write("research", {"instruments": bonds[3:]})
            connector.write("typo", {"instruments": ["KR103502GD32"]})
            taken = [await _take(page, folder / f"page-{name}.png", points) for name, page in pages.items()]
            for scheme in SCHEMES:
                page = await browser.new_page(color_scheme=scheme, viewport=WINDOW)
                await page.goto(address(auditor))
                taken.append(await _take_coverage(page, folder / f"page-coverage-{scheme}.png"))
            return taken


async def _take(page: Page, path: Path, points: int) -> Path:
    """Wait until the first bond has a line of so many prices, then take the picture."""
    await page.wait_for_function(
        "points => (document.querySelector('polyline')?.getAttribute('points') ?? '').split(' ').length >= points",
        arg=points,
        timeout=SECONDS * 1000,
    )
    await expect(page.locator("#list-rows")).to_contain_text("Refused")
    if page.viewport_size == TELEPHONE:
        await page.locator("#instruments").evaluate("section => section.scrollIntoView()")
    await page.screenshot(path=path, full_page=page.viewport_size == WINDOW)
    return path


async def _take_coverage(page: Page, path: Path) -> Path:
    """Wait for a hole, unfold the first bond's holes, then take the section's picture."""
    await expect(page.locator("#coverage-summary")).to_contain_text("holes by cause", timeout=SECONDS * 1000)
    await page.get_by_role("button", name="Missing").dblclick()
    await page.locator("#coverage summary:visible").first.click()
    await page.mouse.move(0, 0)
    await page.locator("#coverage").screenshot(path=path)
    return path


if __name__ == "__main__":
    try:
        for taken in asyncio.run(take(DOCS)):
            sys.stdout.write(f"{taken}\n")
    except Unavailable as reason:
        sys.exit(f"No pictures were taken: {reason}.")
