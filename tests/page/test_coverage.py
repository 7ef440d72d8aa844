"""The auditor's page in a real browser: coverage of each bond, beside a running connector."""

import re

import pytest
from playwright.async_api import expect

from tests.app.audit.world import ISINS, auditing, settings_of
from tests.page.chromium import violations
from tests.page.scene import running_connector

WHOLE, LACKING = ISINS


@pytest.fixture
async def audited(browser, tmp_path):
    """Give a connector and its auditor, who found one hole: KIS left one trade of LACKING out."""
    async with running_connector(tmp_path, rate=0, faults=["missing=12"]) as connector:
        connector.write("desk", {"instruments": ISINS})
        await connector.until_state("ACTIVE", ISINS)
        for _ in range(10):
            await connector.kis.emit_ticks(WHOLE)
            await connector.kis.emit_ticks(LACKING)  # the sixth of these is the twelfth trade
        async with auditing(settings_of(connector)) as auditor:
            yield connector, auditor


@pytest.fixture
def auditor(audited):
    """Give the auditor alone."""
    return audited[1]


def bond(page, isin):
    """Return a bond's row."""
    return page.locator("#coverage tbody tr").filter(has_text=isin)


async def test_a_hole_is_red_in_the_bar_and_listed(auditor, open_page):
    """A bar is red exactly where volume is missing, and the list says how much and why."""
    async with open_page(auditor) as page:
        await expect(bond(page, LACKING)).to_contain_text("Holes")
        await expect(bond(page, LACKING).locator("summary")).to_have_text("1 hole")
        status = await page.evaluate("fetch('status').then((answer) => answer.json())")
        day = status["days"][LACKING]
        ((low, high),) = day["holes"][0]["remaining"]
        piece = bond(page, LACKING).locator("rect.missing")
        assert float(await piece.get_attribute("x")) == pytest.approx(1000 * low / day["accumulated_volume"], abs=0.1)
        width = 1000 * (high - low) / day["accumulated_volume"]
        assert float(await piece.get_attribute("width")) == pytest.approx(max(4, width), abs=0.1)
        await bond(page, LACKING).locator("summary").click()
        await expect(bond(page, LACKING).locator("li")).to_have_text(
            re.compile(rf"\d\d:\d\d:\d\d to \d\d:\d\d:\d\d: {high - low:,} missing, unknown")
        )
        await expect(bond(page, WHOLE)).to_contain_text("100.00")
        assert await bond(page, WHOLE).locator("rect.missing").count() == 0


async def test_the_sum_of_the_day_is_on_top(auditor, open_page):
    """The sum says how much of the day is covered, how much is missing, and the causes."""
    async with open_page(auditor) as page:
        await expect(page.locator("#coverage-summary")).to_contain_text("2 bonds")
        await expect(page.locator("#coverage-summary")).to_contain_text("holes by cause: unknown 1")
        missing = (await auditor.report.status())["coverage"]["missing_volume"]
        assert missing > 0
        await expect(page.locator("#coverage-sum")).to_contain_text(f"missing{missing:,}")
        first = page.locator("#main section:visible").first
        await expect(first).to_have_attribute("id", "coverage")


async def test_the_auditor_shows_only_what_it_has(auditor, open_page):
    """The auditor's page has coverage and events, and no section of a connector's figures."""
    async with open_page(auditor) as page:
        await expect(page.locator("h1")).to_have_text("KIS bond auditor")
        shown = [await each.get_attribute("id") for each in await page.locator("section:visible").all()]
        assert shown == ["coverage", "events"]
        links = [await each.get_attribute("href") for each in await page.locator("nav a:visible").all()]
        assert links == ["#coverage", "#events"]


async def test_missing_sorts_first(auditor, open_page):
    """The heading "Missing" pressed twice puts the bond with most missing on top."""
    async with open_page(auditor) as page:
        await expect(bond(page, LACKING)).to_contain_text("Holes")
        for _ in range(2):
            await page.get_by_role("button", name="Missing").click()
        await expect(page.locator("#coverage-rows tr").first).to_contain_text(LACKING)
        await page.fill("#coverage-find", WHOLE)
        await expect(page.locator("#coverage-rows tr")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_at_the_auditor(auditor, open_page, scheme):
    """axe-core finds no violation with a hole shown, light or dark, and in a narrow window."""
    async with open_page(auditor, color_scheme=scheme, viewport={"width": 390, "height": 800}) as page:
        await bond(page, LACKING).locator("summary").click()
        assert await violations(page) == {}
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_the_connectors_own_page_shows_coverage_too(audited, open_page):
    """The day's sum is on top and the bar has its hole, as the auditor wrote them to its topic."""
    connector, auditor = audited
    async with open_page(connector) as page:
        await expect(page.locator("h1")).to_have_text("KIS bond connector")
        await expect(bond(page, LACKING).locator("rect.missing")).to_have_count(1)
        await expect(bond(page, WHOLE)).to_contain_text("100.00")
        missing = (await auditor.report.status())["coverage"]["missing_volume"]
        await expect(page.locator("#coverage-sum")).to_contain_text(f"missing{missing:,}")
        await expect(page.locator("#coverage-summary")).to_contain_text(re.compile(r"last audited \d\d:\d\d:\d\d"))
        await expect(page.locator("#main section:visible").first).to_have_attribute("id", "coverage")
        await expect(page.locator("#sessions")).to_be_visible()
        # A trade that comes while the page is open is in the bar within seconds.
        before = await bond(page, WHOLE).locator("svg.bar").get_attribute("aria-label")
        await connector.kis.emit_ticks(WHOLE)
        await expect(bond(page, WHOLE).locator("svg.bar")).not_to_have_attribute("aria-label", before)
        assert await violations(page) == {}


async def test_without_an_auditor_the_connectors_page_has_no_coverage(connector, opened):
    """A section that nobody fills is not shown."""
    async with opened() as page:
        await expect(page.locator("#readiness")).to_have_text("Ready")
        await expect(page.locator("#coverage")).to_be_hidden()
