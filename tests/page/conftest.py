"""A page in a real browser, showing a running connector."""

from contextlib import asynccontextmanager
from functools import partial

import pytest
from playwright.async_api import expect

from tests.conftest import started
from tests.page.chromium import Complaints, browsing, find_chromium
from tests.page.scene import address, running_connector

REQUIRED = "KIS_BOND_REQUIRE_BROWSER"
PATIENCE_MS = 60_000  # for a busy machine; what is there at once is seen at once
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def chromium():
    """Give the path of a Chromium."""
    return started("Chromium", find_chromium, REQUIRED)


@pytest.fixture
async def browser(chromium):
    """Give a running browser."""
    async with browsing(chromium) as browser:
        yield browser


@pytest.fixture
async def connector(browser, tmp_path):
    """Give a connector whose wanted bonds trade forty times a second."""
    async with running_connector(tmp_path, rate=40) as connector:
        yield connector


@pytest.fixture
def open_page(browser):
    """Return what opens the page of a connector or an auditor; it must cause no complaint."""

    @asynccontextmanager
    async def opening(of, **context):
        page = await (await browser.new_context(**context)).new_page()
        page.complaints = Complaints(page)
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(address(of))
        yield page
        assert page.complaints == []
        await page.unroute_all(behavior="ignoreErrors")  # the page still asks while its connector ends

    return opening


@pytest.fixture
def opened(open_page, connector):
    """Return what opens the connector's page."""
    return partial(open_page, connector)
